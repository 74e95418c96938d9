"""The way of an instance, and of a study: the stages in their order."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pydicom import dcmread

from node.arrival.routing import no_taker, route
from node.asked_once import AskedOnce
from node.decode.examined import Examined
from node.errors import (
    BadObjectError,
    CardionodeError,
    NotAnalysableError,
    NotApplicableError,
    PermanentError,
    TransientError,
)
from node.findings.base import Finding, Missed, Networks, Observation, Subject
from node.findings.unusual import OUTSIDE, unusual_in
from node.installed import Installed
from node.ledger.records import (
    ANY_FINDING,
    FindingOutcome,
    InstanceRow,
    Job,
    Partner,
    ResultRow,
    StoredObject,
)
from node.observations import to_text
from node.pairs import role_of, telling
from node.picture import draw_capture
from node.reports import Missing, Reporter, moment, reference_to, weights_identity
from node.result_store import ResultStore
from node.results.uids import derive_uid
from node.results.validate import validate_result

_log = logging.getLogger(__name__)


class Decoder(Protocol):
    """Decodes one instance (the pool of decoder children)."""

    def decode(self, path: Path) -> Examined:
        """Examine one instance.

        Raises
        ------
        BadObjectError, DecoderDiedError
        """
        ...


@dataclass(frozen=True)
class Analysis:
    """What the findings made of one instance."""

    outcomes: tuple[FindingOutcome, ...]
    captures: tuple[StoredObject, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Everything the stages need, handed down by the command line.

    Attributes
    ----------
    findings
        Those that are enabled and those that they need, in order.
    unreported
        Names of the latter: what they see is for other findings only.
    installed
        The cards of the findings' networks. A finding without all of them is said to be not
        analysed.
    blob
        Where the bytes of an instance lie, by digest.
    with_captures
        Whether heatmaps are drawn.
    single_modality
        Whether a finding that joins an ECG and an X-ray may report one of them alone.
    """

    findings: Sequence[Finding]
    installed: Installed
    decoder: Decoder
    networks: Networks
    blob: Callable[[str], Path]
    store: ResultStore
    node_version: str
    device_uid: str
    unreported: frozenset[str] = frozenset()
    with_captures: bool = True
    single_modality: bool = False

    @cached_property
    def reporter(self) -> Reporter:
        """Writes the reports."""
        return Reporter(self.installed, self.blob, self.store, self.node_version, self.device_uid)

    def analyse(self, instance: InstanceRow) -> Analysis:
        """Decode one instance and let every finding read it.

        Raises
        ------
        BadObjectError
            The instance is to be quarantined.
        TransientError
            The attempt may be repeated.
        """
        path = self.blob(instance.sha256)
        _check_bytes(path, instance.sha256)
        examined = self.decoder.decode(path)
        routes = route(examined.instance)
        if routes.kind is None or examined.decoded is None:
            return Analysis((_not_for_us(routes.reason or "nothing to decode"),))
        takers = [finding for finding in self.findings if routes.kind in finding.kinds]
        if all(finding.name in self.unreported for finding in takers):
            return Analysis((_not_for_us(no_taker(routes.kind)),))
        subject = Subject(reference_to(instance), routes.kind, examined.decoded.input)
        networks = AskedOnce(self.networks)
        outcomes: list[FindingOutcome] = []
        captures: list[StoredObject] = []
        for finding in takers:
            outcome, observation = self._read(finding, subject, networks, examined.notes)
            if observation is None:
                applies = outcome.state != "not_applicable"
                subject.missed[finding.name] = Missed(applies, outcome.reason)
            if finding.name in self.unreported:
                continue
            if observation is not None and self.with_captures:
                try:
                    drawn = self._capture(finding, subject, networks, observation, instance)
                    captures.append(drawn)
                except PermanentError as error:
                    outcome = replace(
                        outcome, reason=_joined(outcome.reason, f"no capture: {error}")
                    )
            outcomes.append(outcome)
        return Analysis(tuple(outcomes), tuple(captures))

    def report(
        self,
        job: Job,
        outcomes: Sequence[tuple[InstanceRow, FindingOutcome]],
        captures: Sequence[StoredObject],
        earlier: Sequence[ResultRow],
        partners: Sequence[Partner] = (),
    ) -> list[StoredObject]:
        """Make the reports of a study: one per finding with results, one of what is missing.

        Parameters
        ----------
        partners
            Instances of other studies that findings of two modalities join with this study's.
        """
        objects: list[StoredObject] = []
        missing = [
            Missing(ANY_FINDING, "All findings", row, o.reason)
            for row, o in outcomes
            if o.finding == ANY_FINDING and o.state == "failed"
        ]
        for finding in self.findings:
            if finding.name in self.unreported:
                continue
            own = [(row, o) for row, o in outcomes if o.finding == finding.name]
            said = telling(finding, own, captures, partners)
            problem = self.installed.problem_of(finding)
            missing += [
                Missing(finding.name, finding.title, row, problem or o.reason)
                for row, o in said.told
                if problem or o.observation is None
            ]
            if problem:
                continue
            if said.is_report:
                report = self.reporter.finding(finding, job, said, earlier)
                objects += [*said.captures, report]
            else:
                objects += said.captures
        rows = list({row.id: row for row, _ in outcomes}.values())
        rest = self.reporter.not_analysed(job, missing, rows, earlier)
        return [*objects, rest] if rest is not None else objects

    def _read(
        self, finding: Finding, subject: Subject, networks: Networks, notes: Sequence[str]
    ) -> tuple[FindingOutcome, Observation | None]:
        problem = self.installed.problem_of(finding)
        if problem is not None:
            return FindingOutcome(finding.name, "not_analysed", problem), None
        cards = {name: self.installed.cards[name] for name in finding.networks}
        try:
            observation = finding.analyse(subject, networks, cards)
        except NotApplicableError as error:
            return FindingOutcome(finding.name, "not_applicable", str(error)), None
        except NotAnalysableError as error:
            return FindingOutcome(finding.name, "not_analysed", str(error)), None
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001
            # The boundary of a finding: what it or its network raises costs its own result, and
            # those of the other findings are made.
            return FindingOutcome(finding.name, "failed", _failure(finding, error)), None
        subject.earlier[finding.name] = observation
        unusual = unusual_in(observation)
        said = [OUTSIDE] if unusual is not None and unusual.outside else []
        role = role_of(finding, subject.kind)
        outcome = FindingOutcome(
            finding.name,
            "analysed" if role is None or self.single_modality else "waiting",
            _joined(*said, *notes),
            to_text(observation),
            role=role,
        )
        return outcome, observation

    def _capture(
        self,
        finding: Finding,
        subject: Subject,
        networks: Networks,
        observation: Observation,
        instance: InstanceRow,
    ) -> StoredObject:
        algorithm = self.reporter.algorithm(finding)
        identity = (instance.study_instance_uid, finding.name, *weights_identity(algorithm))
        capture = draw_capture(
            subject.input,
            finding.explain(subject, observation, networks),
            dcmread(self.blob(instance.sha256), stop_before_pixels=True),
            title=finding.title,
            algorithm=algorithm,
            sop_instance_uid=derive_uid(*identity, "capture", instance.sha256),
            series_instance_uid=derive_uid(*identity, "captures"),
            series_number=finding.series_number + 1,
            created_at=moment(instance.received_at),
            node_version=self.node_version,
            device_uid=self.device_uid,
        )
        validate_result(capture)
        return self.store.put(capture, "capture", finding.name, instance.sop_instance_uid)


def _check_bytes(path: Path, sha256: str) -> None:
    with path.open("rb") as blob:
        if hashlib.file_digest(blob, "sha256").hexdigest() != sha256:
            raise BadObjectError("its stored bytes are damaged: their checksum is wrong")


def _failure(finding: Finding, error: Exception) -> str:
    if isinstance(error, CardionodeError):
        return str(error)
    _log.error("a finding failed", exc_info=error, extra={"finding": finding.name})
    return f"{finding.title} failed ({type(error).__name__})"


def _joined(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)


def _not_for_us(reason: str) -> FindingOutcome:
    return FindingOutcome(ANY_FINDING, "not_applicable", reason)
