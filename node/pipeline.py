"""The way of an instance, and of a study: the stages in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydicom import Dataset, dcmread

from models.cards import Card
from models.inputs import Clip, Still
from node.arrival.routing import no_taker, route
from node.decode.examined import Examined
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Finding, Networks, Observation, Subject
from node.ledger_records import (
    ANY_FINDING,
    FindingOutcome,
    InstanceRow,
    Job,
    ResultRow,
    StoredObject,
)
from node.observations import from_text, to_text
from node.picture import draw_capture
from node.result_store import ResultStore
from node.results.primitives import Algorithm, ImageReference, NotAnalysed, StudyResult
from node.results.structured_report import ReportContext, build_report
from node.results.uids import derive_uid
from node.results.validate import validate_result


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
        Those that are enabled, in order.
    cards
        By the findings' networks.
    blob
        Where the bytes of an instance lie, by digest.
    with_captures
        Whether heatmaps are drawn.
    """

    findings: Sequence[Finding]
    cards: Mapping[str, Card]
    decoder: Decoder
    networks: Networks
    blob: Callable[[str], Path]
    store: ResultStore
    node_version: str
    device_uid: str
    with_captures: bool = True

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
        examined = self.decoder.decode(path)
        routes = route(examined.instance)
        if routes.kind is None or examined.decoded is None:
            return Analysis((_not_for_us(routes.reason or "nothing to decode"),))
        takers = [finding for finding in self.findings if routes.kind in finding.kinds]
        if not takers:
            return Analysis((_not_for_us(no_taker(routes.kind)),))
        subject = Subject(_reference(instance), routes.kind, examined.decoded.input)
        outcomes: list[FindingOutcome] = []
        captures: list[StoredObject] = []
        for finding in takers:
            outcome, observation = self._read(finding, subject, "; ".join(examined.notes))
            outcomes.append(outcome)
            if observation is not None and self.with_captures:
                header = dcmread(path, stop_before_pixels=True)
                captures.append(self._capture(finding, subject, observation, header, instance))
        return Analysis(tuple(outcomes), tuple(captures))

    def report(
        self,
        job: Job,
        outcomes: Sequence[tuple[InstanceRow, FindingOutcome]],
        captures: Sequence[StoredObject],
        earlier: Sequence[ResultRow],
    ) -> list[StoredObject]:
        """Make the reports of a study, one per finding that has something to say."""
        objects: list[StoredObject] = []
        for finding in self.findings:
            own = [(row, o) for row, o in outcomes if o.finding == finding.name]
            told = [(row, o) for row, o in own if o.state in ("analysed", "not_analysed", "failed")]
            if not told:
                continue
            drawn = [c for c in captures if c.finding == finding.name]
            objects += [*drawn, self._report(finding, job, told, drawn, earlier)]
        return objects

    def _read(
        self, finding: Finding, subject: Subject, notes: str
    ) -> tuple[FindingOutcome, Observation | None]:
        try:
            observation = finding.analyse(subject, self.networks, self.cards[finding.network])
        except NotApplicableError as error:
            return FindingOutcome(finding.name, "not_applicable", str(error)), None
        except NotAnalysableError as error:
            return FindingOutcome(finding.name, "not_analysed", str(error)), None
        subject.earlier[finding.name] = observation
        return FindingOutcome(finding.name, "analysed", notes, to_text(observation)), observation

    def _capture(
        self,
        finding: Finding,
        subject: Subject,
        observation: Observation,
        header: Dataset,
        instance: InstanceRow,
    ) -> StoredObject:
        card = self.cards[finding.network]
        identity = (instance.study_instance_uid, finding.name, card.name, card.version, card.sha256)
        input_ = subject.input
        if not isinstance(input_, Clip | Still):
            raise NotApplicableError("only images have captures")
        capture = draw_capture(
            input_,
            finding.explain(subject, observation, self.networks),
            header,
            title=finding.title,
            algorithm=algorithm_of(card),
            sop_instance_uid=derive_uid(*identity, "capture", instance.sha256),
            series_instance_uid=derive_uid(*identity, "captures"),
            series_number=finding.series_number + 1,
            created_at=_moment(instance.received_at),
            node_version=self.node_version,
            device_uid=self.device_uid,
        )
        validate_result(capture)
        return self.store.put(capture, "capture", finding.name, instance.sop_instance_uid)

    def _report(
        self,
        finding: Finding,
        job: Job,
        told: Sequence[tuple[InstanceRow, FindingOutcome]],
        captures: Sequence[StoredObject],
        earlier: Sequence[ResultRow],
    ) -> StoredObject:
        card = self.cards[finding.network]
        observed = [(_reference(row), from_text(o.observation)) for row, o in told if o.observation]
        result = StudyResult(
            finding=finding.name,
            title=finding.title,
            algorithm=algorithm_of(card),
            groups=finding.summarise(observed) if observed else (),
            not_analysed=tuple(
                NotAnalysed(_reference(row), o.reason) for row, o in told if not o.observation
            ),
        )
        rows = [row for row, _ in told]
        inputs = sorted({row.sha256 for row in rows})
        identity = (job.study_uid, finding.name, card.name, card.version, card.sha256)
        sop_instance_uid = derive_uid(*identity, "sr", *inputs)
        context = ReportContext(
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=derive_uid(*identity, "reports"),
            series_number=finding.series_number,
            # of the inputs, not of this attempt: a report that is made again has the same bytes
            created_at=_moment(max(row.received_at for row in rows)),
            node_version=self.node_version,
            device_uid=self.device_uid,
            captures=tuple(_reference_of(capture) for capture in captures),
            revision=job.revision,
            predecessor=_predecessor(finding.name, sop_instance_uid, earlier),
        )
        sources = [dcmread(self.blob(row.sha256), stop_before_pixels=True) for row in rows]
        report = build_report(result, sources, context)
        validate_result(report)
        return self.store.put(report, "sr", finding.name)


def algorithm_of(card: Card) -> Algorithm:
    """The network as results name it."""
    return Algorithm(card.name, card.version, card.sha256, card.statement)


def _not_for_us(reason: str) -> FindingOutcome:
    return FindingOutcome(ANY_FINDING, "not_applicable", reason)


def _reference(row: InstanceRow) -> ImageReference:
    return ImageReference(
        row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.study_instance_uid
    )


def _reference_of(stored: StoredObject) -> ImageReference:
    return ImageReference(
        stored.sop_class_uid,
        stored.sop_instance_uid,
        stored.series_instance_uid,
        stored.study_instance_uid,
    )


def _predecessor(
    finding: str, sop_instance_uid: str, earlier: Sequence[ResultRow]
) -> ImageReference | None:
    before = [
        row.object
        for row in earlier
        if row.object.kind == "sr"
        and row.object.finding == finding
        and row.object.sop_instance_uid != sop_instance_uid
    ]
    return _reference_of(before[-1]) if before else None


def _moment(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, tz=UTC)
