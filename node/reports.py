"""Makes the reports of a study: one per finding with results, and one of what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from models.cards import Card
from node.errors import InvalidResultError
from node.findings.base import Finding
from node.installed import Installed
from node.ledger.records import FindingOutcome, InstanceRow, Job, ResultRow, StoredObject
from node.ledger.states import InstanceState
from node.observations import from_text
from node.pairing import Role, distance_words
from node.pairs import Telling
from node.result_store import ResultStore
from node.results.primitives import (
    Algorithm,
    Basis,
    ImageReference,
    NotAnalysed,
    StudyResult,
    Weights,
)
from node.results.structured_report import ReportContext, build_reasons_report, build_report
from node.results.uids import derive_uid
from node.results.validate import validate_result

#: Name of the report that lists what is missing; findings have their own.
NOT_ANALYSED = "not_analysed"
NOT_ANALYSED_SERIES = 9000


@dataclass(frozen=True, slots=True)
class Missing:
    """An instance to which a finding applies that could not be made.

    Attributes
    ----------
    finding, title
        Its name in snake_case, and for people.
    """

    finding: str
    title: str
    row: InstanceRow
    reason: str


@dataclass(frozen=True)
class Reporter:
    """Writes reports into the result store.

    Attributes
    ----------
    installed
        The cards of the findings' networks.
    blob
        Where the bytes of an instance lie, by digest.
    """

    installed: Installed
    blob: Callable[[str], Path]
    store: ResultStore
    node_version: str
    device_uid: str

    def finding(
        self,
        finding: Finding,
        job: Job,
        said: Telling,
        earlier: Sequence[ResultRow],
    ) -> StoredObject:
        """Report what a finding says of a study; at least one instance must be analysed."""
        algorithm, told = self.algorithm(finding), said.told
        place = {number: _reference_of(capture) for number, capture in said.shown_on.items()}
        observed = [
            (place.get(row.id, reference_to(row)), from_text(o.observation))
            for row, o in told
            if _made(o)
        ]
        result = StudyResult(
            finding=finding.name,
            title=finding.title,
            algorithm=algorithm,
            groups=finding.summarise(observed),
            not_analysed=tuple(
                NotAnalysed(finding.title, reference_to(row), o.reason)
                for row, o in told
                if not _made(o)
            ),
            basis=tuple(
                Basis(reference_to(each.instance), distance_words(each.distance_days, Role.ECG))
                for each in said.partners
            ),
        )
        rows = [*(row for row, _ in told), *(each.instance for each in said.partners)]
        # what could not be made counts, too: when it can be later, the report is another one
        inputs = sorted(
            {row.sha256 if _made(o) else f"{row.sha256} {o.state} {o.reason}" for row, o in told}
            | {each.instance.sha256 for each in said.partners}
        )
        identity = (job.study_uid, finding.name, *weights_identity(algorithm))
        context = self._context(
            finding.name, finding.series_number, identity, inputs, rows, job, earlier,
            [each for each in said.captures if each not in said.shown_on.values()],
        )  # fmt: skip
        sources = [self._header(row) for row in rows]
        sources += [self.store.header(capture) for capture in said.shown_on.values()]
        report = build_report(result, sources, context)
        validate_result(report)
        return self.store.put(report, "sr", finding.name)

    def not_analysed(
        self,
        job: Job,
        missing: Sequence[Missing],
        rows: Sequence[InstanceRow],
        earlier: Sequence[ResultRow],
    ) -> StoredObject | None:
        """Report what could not be analysed.

        Parameters
        ----------
        rows
            All instances of the study that were looked at.

        Returns
        -------
        None when nothing is missing and no earlier report says otherwise.

        Raises
        ------
        InvalidResultError
            No instance can be read, so that it is not known whose report it would be.
        """
        if not missing and not any(row.object.finding == NOT_ANALYSED for row in earlier):
            return None
        about = list({each.row.id: each.row for each in missing}.values()) or list(rows)
        inputs = sorted(
            f"{each.finding} {each.row.sha256} {each.reason}" for each in missing
        ) or sorted(row.sha256 for row in rows)
        identity = (job.study_uid, NOT_ANALYSED)
        context = self._context(
            NOT_ANALYSED, NOT_ANALYSED_SERIES, identity, inputs, about, job, earlier, ()
        )
        reasons = [NotAnalysed(each.title, reference_to(each.row), each.reason) for each in missing]
        report = build_reasons_report(
            reasons, self._anchor([*about, *rows]), [self._header(row) for row in about], context
        )
        validate_result(report)
        return self.store.put(report, "sr", NOT_ANALYSED)

    def algorithm(self, finding: Finding) -> Algorithm:
        """A finding's networks as results name them."""
        return algorithm_of([self.installed.cards[name] for name in finding.networks])

    def _context(
        self,
        name: str,
        series_number: int,
        identity: Sequence[str],
        inputs: Sequence[str],
        rows: Sequence[InstanceRow],
        job: Job,
        earlier: Sequence[ResultRow],
        captures: Sequence[StoredObject],
    ) -> ReportContext:
        sop_instance_uid = derive_uid(*identity, "sr", *inputs)
        return ReportContext(
            sop_instance_uid=sop_instance_uid,
            series_instance_uid=derive_uid(*identity, "reports"),
            series_number=series_number,
            # of the inputs, not of this attempt: a report that is made again has the same bytes
            created_at=moment(max(row.received_at for row in rows)),
            node_version=self.node_version,
            device_uid=self.device_uid,
            captures=tuple(_reference_of(capture) for capture in captures),
            revision=job.revision,
            predecessor=_predecessor(name, sop_instance_uid, earlier),
        )

    def _header(self, row: InstanceRow) -> Dataset:
        """Read an instance's header; of one that could not be decoded, what the ledger knows."""
        if row.state is InstanceState.DECODED:
            return dcmread(self.blob(row.sha256), stop_before_pixels=True)
        known = Dataset()
        known.SOPClassUID, known.SOPInstanceUID = row.sop_class_uid, row.sop_instance_uid
        known.SeriesInstanceUID = row.series_instance_uid
        known.StudyInstanceUID = row.study_instance_uid
        known.Modality = row.modality
        return known

    def _anchor(self, rows: Iterable[InstanceRow]) -> Dataset:
        """Read a header that says whose study it is, best of an instance that was decoded."""
        for row in sorted(rows, key=lambda row: row.state is not InstanceState.DECODED):
            try:
                header = dcmread(self.blob(row.sha256), stop_before_pixels=True)
                header.decode()
            except (InvalidDicomError, *_UNREADABLE):
                continue
            return header
        raise InvalidResultError("no instance of the study can be read")


#: What pydicom raises of a header that breaks the standard.
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError)


def algorithm_of(cards: Sequence[Card]) -> Algorithm:
    """A finding's networks as results name them, the one that decides first."""
    first, *more = cards
    others = tuple(Weights(card.name, card.version, card.sha256) for card in more)
    return Algorithm(first.name, first.version, first.sha256, first.statement, others)


def weights_identity(algorithm: Algorithm) -> tuple[str, ...]:
    """What of all networks makes a result another one."""
    further = [(each.name, each.version, each.sha256) for each in algorithm.others]
    return (
        algorithm.name, algorithm.version, algorithm.weights_sha256, *chain.from_iterable(further),
    )  # fmt: skip


def reference_to(row: InstanceRow) -> ImageReference:
    """Refer to an instance."""
    return ImageReference(
        row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.study_instance_uid
    )


def moment(epoch_s: float) -> datetime:
    """A time of the ledger as results write it."""
    return datetime.fromtimestamp(epoch_s, tz=UTC)


def _made(outcome: FindingOutcome) -> bool:
    return outcome.observation is not None


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
