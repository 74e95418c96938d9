"""A node without its doors: everything between the spool and the outbox, built and started once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from node.arrival.header import Header
from node.arrival.identity import birth_key, patient_key
from node.arrival.intake import Intake
from node.arrival.meter import Meter
from node.arrival.spool import Spool
from node.clock import SteadyClock
from node.commitment import CommitmentAnswer, random_uid
from node.commitment_desk import CommitmentDesk
from node.commitment_judge import CommitmentJudge
from node.config import CStoreDestination, Destination, Settings
from node.data_dir import DataDir
from node.decode.pool import DecodePool
from node.errors import CardionodeError
from node.findings import findings_for
from node.findings.base import Finding
from node.inference.executor import LocalExecutor
from node.inference.messages import HostSettings
from node.installed import look_for_weights
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, ToRecord
from node.ledger.states import AnswerOutcome, ArrivalOutcome
from node.pairing import PairingRule
from node.pipeline import Pipeline
from node.result_store import ResultStore
from node.results.uids import derive_uid, is_derived
from node.retry import RetryPolicy
from node.rush import Rush
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.commitment import CommitmentRequester
from node.sending.courier import Courier
from node.sending.folder import FolderSender
from node.sending.notary import Notary, Patience
from node.sending.outcome import Sender
from node.sending.peer_tls import PeerTls
from node.timers import EXPIRY_TICK_S, Timers
from node.tls import ReloadingContext, client_context, destination_files
from node.version import node_version
from node.worker import Worker

_MIB = 1 << 20


class Runtime:
    """The processing of one node.

    Parameters
    ----------
    settings
        Checked.
    data_dir
        Locked by the caller.
    meter
        Counts arrivals.
    """

    def __init__(self, settings: Settings, data_dir: DataDir, meter: Meter | None = None) -> None:
        self.settings = settings
        self._meter = meter
        self.data_dir = data_dir
        self.clock = SteadyClock()
        pairing = settings.pairing
        self.ledger = Ledger.open(
            data_dir.ledger,
            self.clock,
            pairing=PairingRule(pairing.window_days, pairing.expire_after_days),
        )
        self.spool = Spool(
            data_dir.path,
            settings.node.disk_reserve_mb * _MIB,
            settings.listen.max_object_mb * _MIB,
        )
        self._site_key = data_dir.site_key()
        self._rush = Rush(settings.listen.burst_s)
        self.intake = Intake(
            self.spool, self.record, self.is_own, self.patient_key, meter=meter,
            birth_key=self.birth_key,
        )  # fmt: skip
        hosted = _networks_of(findings_for(settings.findings.wants))
        self.executor = LocalExecutor(HostSettings(settings.node.device, networks=hosted))
        decode = settings.decode
        self.decoder = DecodePool(
            decode.children, decode.memory_mb, decode.timeout_s, decode.max_decoded_mb,
            _scratch(data_dir, decode.max_decoded_mb * _MIB),
        )  # fmt: skip
        self.store = ResultStore(data_dir.path, data_dir.results)
        self.couriers = [self._courier(destination) for destination in settings.destination]
        self._judge = CommitmentJudge(
            {each.name: _commitment_policy(settings, each) for each in _committing(settings)}
        )
        self.commitment_desk = CommitmentDesk(self.take_answer, meter)
        self.notaries = [self._notary(each, meter) for each in _committing(settings)]
        self.pipeline = build_pipeline(
            settings, data_dir, self.decoder, self.executor, self.spool.path_of, self.store
        )
        self.workers = self._workers()
        self.timers = Timers(self._complete_studies, self.ledger.requeue_expired_leases)
        self.timers.every("expire-pairings", EXPIRY_TICK_S, self.ledger.expire_pairings)

    def start(self) -> None:
        """Recover what a previous process left, load the networks, and begin to work.

        Raises
        ------
        HostDiedError
            The networks could not be loaded.
        """
        self.spool.sweep(self.ledger.has_blob)
        self.store.sweep(self.ledger.object_digests())
        self.ledger.recover()
        self.ledger.commitments.recover([each.name for each in _committing(self.settings)])
        if self._computes:
            self.executor.start()
        for courier in self.couriers:
            courier.start()
        for notary in self.notaries:
            notary.start()
        for worker in self.workers:
            worker.start()
        self.timers.start()

    def stop(self) -> None:
        """Finish the jobs at hand and close; what is left waits for the next start."""
        self.timers.stop()
        for worker in self.workers:
            worker.stop(0)
        for worker in self.workers:
            worker.stop()
        for courier in self.couriers:
            courier.stop(30.0)
        for notary in self.notaries:
            notary.stop(30.0)
        self.executor.stop()
        self.decoder.close()
        # A ledger that takes no changes any more has said so; the end goes on.
        with contextlib.suppress(CardionodeError):
            self.ledger.note_end()
        self.ledger.close()

    def inference_problem(self) -> str | None:
        """Why nothing can be computed, None when it can or need not be."""
        if self._computes and self.executor.info is None:
            return "the inference host is not running"
        return None

    def weights_problem(self) -> str | None:
        """Why enabled findings can't be made, None when all can."""
        host = self.executor.info
        problems = self.pipeline.installed.problems | dict(host.problems if host else {})
        wanted = set(_networks_of(self.pipeline.findings))
        return "; ".join(problems[name] for name in sorted(wanted & set(problems))) or None

    @property
    def _computes(self) -> bool:
        return bool(_networks_of(self.pipeline.findings))

    def record(self, arrival: Arrival, quarantine_reason: str | None) -> ArrivalOutcome:
        """Write an arrival and wake a worker."""
        outcome = self.ledger.record_arrival(arrival, quarantine_reason)
        self._rush.arrived()
        self._wake_workers()
        return outcome

    def record_all(self, batch: Sequence[ToRecord]) -> list[ArrivalOutcome | Exception]:
        """Write arrivals in one commit and wake a worker; each has an outcome or an error."""
        outcomes = self.ledger.record_arrivals(batch)
        self._rush.arrived()
        self._wake_workers()
        return outcomes

    def is_own(self, header: Header) -> bool:
        """Whether an instance is a result of this node that came back."""
        uid = header.sop_instance_uid
        # What senders made is known by the root, without a look into the ledger.
        return is_derived(uid) and self.ledger.find_own_object(uid)

    def patient_key(self, patient_id: bytes, issuer: bytes) -> str:
        """Hash who the patient is with the site's key."""
        return patient_key(self._site_key, patient_id, issuer)

    def birth_key(self, patient_id: bytes, issuer: bytes, birth_date: str) -> str:
        """Hash the patient's date of birth with the site's key."""
        return birth_key(self._site_key, patient_id, issuer, birth_date)

    def _workers(self) -> list[Worker]:
        names = [destination.name for destination in self.settings.destination]
        return [
            Worker(
                f"worker-{n}",
                self.ledger,
                self.pipeline,
                names,
                self.clock,
                self._wake_couriers,
                self._rush,
            )
            for n in range(self.settings.node.workers)
        ]

    def take_answer(self, answer: CommitmentAnswer) -> AnswerOutcome:
        """Write a destination's answer about storage commitment."""
        return self.ledger.commitments.answered(answer, self._judge)

    def _notary(self, destination: CStoreDestination, meter: Meter | None) -> Notary:
        requester = CommitmentRequester(
            _peer(destination),
            self.settings.node.ae_title,
            self.commitment_desk,
            tls=_peer_tls(destination, meter),
            sr_sop_class=destination.sr_sop_class,
        )
        return Notary(
            self.ledger.commitments,
            destination.name,
            requester,
            self._judge,
            Patience(destination.commitment_linger_s, destination.commitment_timeout_s),
            random_uid,
            counter=meter,
        )

    def _courier(self, destination: Destination) -> Courier:
        commit_wait_s = None
        if isinstance(destination, CStoreDestination) and destination.commitment:
            commit_wait_s = destination.commitment_wait_s
        return Courier(
            self.ledger,
            destination.name,
            _sender(destination, self.settings.node.ae_title, self._meter),
            self.data_dir.path,
            clock=self.clock,
            policy=_delivery_policy(self.settings),
            commit_wait_s=commit_wait_s,
        )

    def _complete_studies(self) -> Sequence[str]:
        completed = self.ledger.complete_due_studies(self.settings.grouping.quiet_s)
        if completed:
            self._wake_workers()
        return completed

    def _wake_workers(self) -> None:
        for worker in self.workers:
            worker.wake()

    def _wake_couriers(self) -> None:
        for courier in self.couriers:
            courier.wake()


def build_pipeline(
    settings: Settings,
    data_dir: DataDir,
    decoder: DecodePool,
    executor: LocalExecutor,
    blob: Callable[[str], Path],
    store: ResultStore,
) -> Pipeline:
    """Put the stages together; a finding without its weights is no reason not to start."""
    findings = findings_for(settings.findings.wants)
    return Pipeline(
        findings=findings,
        unreported=frozenset(f.name for f in findings if not settings.findings.wants(f.name)),
        installed=look_for_weights(findings),
        decoder=decoder,
        networks=executor,
        blob=blob,
        store=store,
        node_version=node_version(),
        device_uid=derive_uid("device", hashlib.sha256(data_dir.site_key()).hexdigest()),
        with_captures=settings.findings.captures == "all",
        single_modality=settings.pairing.single_modality,
    )


def _networks_of(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for finding in findings for name in finding.networks))


def _committing(settings: Settings) -> list[CStoreDestination]:
    """The destinations that are asked for storage commitment."""
    return [
        each
        for each in settings.destination
        if isinstance(each, CStoreDestination) and each.commitment
    ]


def _delivery_policy(settings: Settings) -> RetryPolicy:
    delivery = settings.delivery
    return RetryPolicy(
        first_retry_s=delivery.first_retry_s,
        max_retry_s=delivery.max_retry_s,
        give_up_after_s=delivery.give_up_after_s,
        permanent_failures=delivery.permanent_refusals,
    )


def _commitment_policy(settings: Settings, destination: CStoreDestination) -> RetryPolicy:
    return replace(_delivery_policy(settings), attempts=destination.commitment_attempts)


def _peer(destination: CStoreDestination) -> Peer:
    return Peer(destination.host, destination.port, destination.ae_title, destination.timeout_s)


def _sender(destination: Destination, ae_title: str, meter: Meter | None) -> Sender:
    if isinstance(destination, CStoreDestination):
        return CStoreSender(
            _peer(destination),
            ae_title,
            tls=_peer_tls(destination, meter),
            sr_sop_class=destination.sr_sop_class,
            capture_transfer_syntax=destination.capture_transfer_syntax,
        )
    return FolderSender(destination.path)


def _peer_tls(destination: CStoreDestination, meter: Meter | None) -> PeerTls | None:
    tls = destination.tls
    if not tls.enabled:
        return None
    context = ReloadingContext(
        destination_files(destination),
        lambda files: client_context(files, check_server_name=tls.check_server_name),
        meter,
    )
    return PeerTls(context, tls.server_name or destination.host)


def _scratch(data_dir: DataDir, needed_bytes: int) -> Path:
    """A folder in memory that belongs to this data directory, or one inside it."""
    memory = Path("/dev/shm")
    # a container's default of 64 MB does not hold one clip
    if not memory.is_dir() or shutil.disk_usage(memory).free < needed_bytes:
        return data_dir.work
    name = hashlib.sha256(str(data_dir.path.resolve()).encode()).hexdigest()[:16]
    return memory / f"cardionode-{name}"
