"""The only door to the node's database: one method for each change of state.

Every change is one transaction that also writes the events that tell of it, and a method that
changes something returns when the change is on stable storage. Its errors mean that nothing of
it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from node.clock import SteadyClock
from node.errors import LedgerReadError, LedgerWriteError
from node.ledger import arrival as arrivals
from node.ledger import deliveries, jobs, pairings, queues, recovery, studies, views
from node.ledger.commitments import CommitmentBook
from node.ledger.engine import log_of, open_readers, open_writer
from node.ledger.records import (
    Arrival,
    Delivery,
    Disposition,
    Event,
    FindingOutcome,
    InstanceRow,
    Job,
    Partner,
    ResultRow,
    StoredObject,
    StudyDetail,
    StudyRow,
    ToRecord,
)
from node.ledger.states import ArrivalOutcome
from node.ledger.writer import Transaction, Writer
from node.pairing import PairingRule

Result = TypeVar("Result")


class Ledger:
    """The node's memory; thread-safe.

    Open it with :meth:`open`. Changes that wait together share a commit; reading never waits, and
    raises LedgerReadError when the disk fails.
    """

    def __init__(
        self, readers: Engine, writer: Writer | None, pairing: PairingRule | None = None
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._pairing = pairing if pairing is not None else PairingRule()

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Callable[[], float] | None = None,
        *,
        read_only: bool = False,
        pairing: PairingRule | None = None,
    ) -> Self:
        """Open a ledger; a new or older file gets this version's schema first.

        Parameters
        ----------
        path
            The SQLite file, on a local disk.
        clock
            Epoch seconds; by default a :class:`~node.clock.SteadyClock`.
        read_only
            Only look, beside a running node or without one. Otherwise the caller holds the data
            directory's lock: a ledger has one writing process.
        pairing
            How instances of two studies find each other; needed where analyses are finished.

        Raises
        ------
        LedgerError
            The file is damaged, or its schema is newer than this version.
        """
        if read_only:
            return cls(open_readers(path), None)
        connection = open_writer(path)
        writer = Writer(connection, clock or SteadyClock(), lambda: open_writer(path), log_of(path))
        return cls(open_readers(path), writer, pairing)

    def close(self) -> None:
        """Finish the changes that wait, then close; closing twice is harmless."""
        if self._writer is None or self._writer.rest():
            self._readers.dispose()  # First, so that the writer leaves no log behind.
        if self._writer is not None:
            self._writer.close()
        self._readers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        self.close()

    @property
    def healthy(self) -> bool:
        """Whether changes are accepted: it is open for writing and its disk has not failed."""
        return self._writer is not None and self._writer.healthy

    def check_writable(self) -> None:
        """Make a durable change that means nothing.

        Raises
        ------
        StorageFullError, LedgerWriteError
            The ledger can't take changes.
        """

        def touch(tx: Transaction) -> None:
            count = tx.connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
            tx.connection.exec_driver_sql(f"PRAGMA user_version = {(count + 1) % 2**31}")

        self._change(touch)

    # ---- arrival

    def record_arrival(
        self, arrival: Arrival, quarantine_reason: str | None = None
    ) -> ArrivalOutcome:
        """Record a stored blob, perhaps to be put aside; then its sender may be told success."""
        return self._change(arrivals.change_of(arrival, quarantine_reason, self._pairing))

    def record_arrivals(self, batch: Sequence[ToRecord]) -> list[ArrivalOutcome | Exception]:
        """Record blobs in one commit; for each its outcome, or what its recording alone raised."""
        if self._writer is None:
            raise LedgerWriteError("The ledger is open for reading only.")
        return self._writer.call_all([arrivals.change_of(*each, self._pairing) for each in batch])

    def find_own_object(self, sop_instance_uid: str) -> bool:
        """Whether the node has made an object with this SOP Instance UID."""
        return self._read(lambda c: views.is_own_object(c, sop_instance_uid))

    def has_blob(self, sha256: str) -> bool:
        """Whether an instance with these bytes was recorded; other blobs were not acknowledged."""
        return self._read(lambda c: views.has_blob(c, sha256))

    # ---- jobs

    def claim_job(self, worker: str, lease_s: float) -> Job | None:
        """Take the oldest job that is due, None when there is none.

        A report is due when every analysis of its study is final.
        """
        return self._change(lambda tx: jobs.claim_job(tx, worker, lease_s))

    def heartbeat(self, job: Job, lease_s: float) -> None:
        """Keep a job for `lease_s` from now.

        Raises
        ------
        LeaseLostError
            The job is another worker's, or is no longer wanted.
        """
        self._change(lambda tx: jobs.heartbeat(tx, job, lease_s))

    def finish_analysis(
        self, job: Job, outcomes: Sequence[FindingOutcome], captures: Sequence[StoredObject] = ()
    ) -> None:
        """Store what the findings made of the job's instance; captures wait for the report.

        The job is `not_applicable` when every outcome is, else `done`. Outcomes with a role are
        paired with those of other studies; a study whose report thereby is outdated is opened.

        Raises
        ------
        LeaseLostError
            As in :meth:`heartbeat`.
        """

        def finish(tx: Transaction) -> None:
            jobs.finish_analysis(tx, job, outcomes, captures)
            self._pair(tx, job)

        self._change(finish)

    def quarantine(self, job: Job, reason: str) -> None:
        """Put the job's instance aside for good; the job has failed.

        Raises
        ------
        LeaseLostError
            As in :meth:`heartbeat`.
        """

        def put_aside(tx: Transaction) -> None:
            jobs.quarantine(tx, job, reason)
            self._pair(tx, job)

        self._change(put_aside)

    def fail_job(self, job: Job, reason: str, retry_at: float | None) -> None:
        """End an attempt without a result; None gives the job up.

        Raises
        ------
        LeaseLostError
            As in :meth:`heartbeat`.
        """

        def fail(tx: Transaction) -> None:
            jobs.fail_job(tx, job, reason, retry_at)
            self._pair(tx, job)

        self._change(fail)

    def finish_report(
        self, job: Job, objects: Sequence[StoredObject], destinations: Sequence[str]
    ) -> None:
        """Store a study's results as its new revision and queue them for every destination.

        An object whose SOP Instance UID a destination has already is not sent there again.

        Raises
        ------
        LeaseLostError
            As in :meth:`heartbeat`; also when an instance has arrived meanwhile.
        InvalidResultError
            Two of the objects are reports of one finding, or have the same UID.
        """
        self._change(lambda tx: deliveries.finish_report(tx, job, objects, destinations))

    # ---- studies

    def complete_due_studies(self, quiet_s: float) -> list[str]:
        """Complete open studies without arrivals for `quiet_s` and without unfinished analyses.

        A study with something new to say gets a report job.
        """
        return self._change(lambda tx: studies.complete_due_studies(tx, quiet_s))

    def study_outcomes(self, study_uid: str) -> list[tuple[InstanceRow, FindingOutcome]]:
        """Every outcome of a study with its instance, in order of arrival."""
        return self._read(lambda c: views.study_outcomes(c, study_uid))

    def study_partners(self, study_uid: str) -> list[Partner]:
        """With whom the instances of a study are paired."""
        return self._read(lambda c: views.study_partners(c, study_uid))

    def study_captures(self, study_uid: str) -> list[StoredObject]:
        """The captures that are held until the study's report, in order of arrival."""
        return self._read(lambda c: views.study_captures(c, study_uid))

    def study_results(self, study_uid: str) -> list[ResultRow]:
        """The stored results of every revision, oldest first."""
        return self._read(lambda c: views.study_results(c, study_uid))

    def object_digests(self) -> set[str]:
        """SHA-256 of every result object that counts: in a report, or held for one."""
        return self._read(views.object_digests)

    def expire_pairings(self) -> int:
        """Stop waiting for partners that did not come in time; return how many those are."""
        return self._change(lambda tx: pairings.expire_pairings(tx, self._pairing))

    # ---- deliveries

    def claim_delivery(self, destination: str, lease_s: float) -> Delivery | None:
        """Take the oldest object that is due at a destination; a study's objects in order."""
        return self._change(lambda tx: deliveries.claim_delivery(tx, destination, lease_s))

    def delivery_sent(
        self, delivery: Delivery, note: str, commit_wait_s: float | None = None
    ) -> None:
        """The destination has answered success; it is asked to commit after a wait, or never.

        Raises
        ------
        LeaseLostError
            The delivery is another sender's, or was stopped.
        """
        self._change(lambda tx: deliveries.delivery_sent(tx, delivery, note, commit_wait_s))

    def delivery_retry(self, delivery: Delivery, reason: str, at: float, permanent: bool) -> None:
        """The attempt failed; `permanent` counts as a refusal for good.

        Raises
        ------
        LeaseLostError
            As in :meth:`delivery_sent`.
        """
        self._change(lambda tx: deliveries.delivery_retry(tx, delivery, reason, at, permanent))

    def delivery_dead(self, delivery: Delivery, reason: str) -> None:
        """Give a delivery up; it is kept.

        Raises
        ------
        LeaseLostError
            As in :meth:`delivery_sent`.
        """
        self._change(lambda tx: deliveries.delivery_dead(tx, delivery, reason))

    @property
    def commitments(self) -> CommitmentBook:
        """The requests for storage commitment, and their answers."""
        return CommitmentBook(self._change)

    # ---- recovery and requests of the operator

    def recover(self) -> int:
        """Void every lease, once, at the start of a node; return how many there were."""
        return self._change(recovery.recover)

    def note_end(self) -> None:
        """Tell that the node ends as it was asked to; else its next start says that it died."""
        self._change(recovery.note_end)

    def requeue_expired_leases(self) -> int:
        """Take jobs and deliveries from workers that fell silent.

        Returns
        -------
        How many there were.
        """
        return self._change(recovery.requeue_expired)

    def retry_dead(self, study_uid: str | None = None) -> int:
        """Try again what was given up (deliveries, reports, analyses); None means every study.

        Returns
        -------
        How many deliveries and jobs wait again.
        """
        return self._change(lambda tx: studies.retry_dead(tx, study_uid))

    def replay(self, study_uid: str) -> int:
        """Analyse again every instance of a study that was analysed before.

        Returns
        -------
        How many analyses wait; 0 for an unknown study.
        """
        return self._change(lambda tx: studies.replay(tx, study_uid))

    # ---- what onlookers see

    def counts(self) -> dict[str, dict[str, int]]:
        """Instances, studies, jobs, deliveries and pairings by state, every state present."""
        return self._read(views.counts)

    def events(self, study_uid: str) -> list[Event]:
        """What happened to a study, oldest first."""
        return self._read(lambda c: views.study_events(c, study_uid))

    def study(self, study_uid: str) -> StudyDetail | None:
        """Everything about one study, None when it is unknown."""
        return self._read(lambda c: views.study_detail(c, study_uid))

    def instance_disposition(self, instance_id: int) -> Disposition | None:
        """Where an instance's way ended, or that it did not yet; None when it is unknown."""
        return self._read(lambda c: views.instance_disposition(c, instance_id))

    def recent_studies(self, limit: int = 100) -> list[StudyRow]:
        """The studies with the latest arrivals, latest first."""
        return self._read(lambda c: views.recent_studies(c, limit))

    def oldest_unfinished(self) -> dict[str, float]:
        """Since when the oldest item of each queue waits, epoch seconds; empty ones are absent."""
        return self._read(queues.oldest_unfinished)

    def destination_queues(self) -> list[queues.DestinationQueue]:
        """What each destination that ever got something still has to get, by name."""
        return self._read(queues.destination_queues)

    def _pair(self, tx: Transaction, job: Job) -> None:
        if job.instance is not None:
            pairings.pair_instance(tx, self._pairing, job.instance.id)

    def _change(self, change: Callable[[Transaction], Result]) -> Result:
        if self._writer is None:
            raise LedgerWriteError("The ledger is open for reading only.")
        return self._writer.call(change)

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        try:
            with self._readers.begin() as connection:
                return query(connection)
        except DBAPIError as error:
            raise LedgerReadError(f"The ledger could not be read: {error.orig}.") from error
