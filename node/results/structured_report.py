"""Writes Structured Reports: one per finding and study, and one of what could not be analysed.

A measurement group always has exactly one number, inferred from one region: common viewers draw
nothing else, and OHIF fails to open a study whose TID 1501 groups have no region. What could not
be analysed is therefore said outside the groups, and in a report of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from highdicom.sr.utils import collect_evidence
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from node.errors import InvalidResultError
from node.results import codes
from node.results.header import (
    add_contribution,
    add_equipment,
    add_file_meta,
    add_times,
    copy_patient_and_study,
    plain_text,
    series_description,
)
from node.results.primitives import ImageReference, NotAnalysed, StudyResult
from node.results.reasons_content import reasons_content
from node.results.report_content import measurement_content

NOT_ANALYSED_TITLE = "Not analysed"


@dataclass(frozen=True, slots=True)
class ReportContext:
    """What a report needs beside its result.

    Attributes
    ----------
    created_at
        From the ledger; a report that is built again has the same bytes.
    device_uid
        Identifies this node, the same for all its results.
    sr_sop_class
        Comprehensive 3D SR, or Comprehensive SR for receivers that don't know it: the content has
        only two-dimensional coordinates, so nothing is lost.
    captures
        The captures that were made for the same result, listed as evidence.
    revision
        1 for the first report of the study, counted up with every later one.
    predecessor
        The report that this one replaces.
    """

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    created_at: datetime
    node_version: str
    device_uid: str
    sr_sop_class: str = Comprehensive3DSRStorage
    captures: tuple[ImageReference, ...] = ()
    revision: int = 1
    predecessor: ImageReference | None = None


def build_report(
    result: StudyResult, sources: Sequence[Dataset], context: ReportContext
) -> Dataset:
    """Build the report of one finding over one study: TID 1500 (PS3.3 A.35.13, PS3.16).

    Parameters
    ----------
    result
        What the finding says.
    sources
        Headers, without pixels, of all instances that the result refers to and of all others that
        were used. Patient and study come from the instance that the first group refers to.

    Returns
    -------
    The report with file meta information, ready to be written. The same arguments give the same
    bytes; the order of ``sources`` doesn't matter.

    Raises
    ------
    InvalidResultError
        When the result has no group, or refers to an instance that is not among the sources.
    """
    if not result.groups:
        raise InvalidResultError("the result has no group")
    references = [group.region.image for group in result.groups]
    references += [missing.image for missing in result.not_analysed]
    references += [basis.image for basis in result.basis]
    ordered = _ordered(sources, references)
    content = measurement_content(result, ordered, context.device_uid, context.node_version)
    algorithm = result.algorithm
    made_by = f"{algorithm.name} {algorithm.version}: {algorithm.statement}"
    anchor = next(ds for ds in ordered if ds.SOPInstanceUID == references[0].sop_instance_uid)
    heading = series_description(result.title, algorithm.statement)
    return _report(content, anchor, ordered, heading, made_by, context)


def build_reasons_report(
    not_analysed: Sequence[NotAnalysed],
    anchor: Dataset,
    sources: Sequence[Dataset],
    context: ReportContext,
) -> Dataset:
    """Build the report of what could not be analysed in one study: TID 2000 (PS3.16).

    Parameters
    ----------
    not_analysed
        Each instance with the finding and the reason; without any the report says that nothing
        is left.
    anchor
        Header of an instance of the study that could be read: patient and study come from it.
    sources
        Headers of all instances that are referred to; of one that can't be read, what is known.

    Raises
    ------
    InvalidResultError
        When an instance is not among the sources.
    """
    ordered = _ordered(sources, [missing.image for missing in not_analysed])
    content = reasons_content(not_analysed, ordered, context.device_uid, context.node_version)
    heading = series_description(NOT_ANALYSED_TITLE, "")
    made_by = "Lists what could not be analysed, with reasons"
    return _report(content, anchor, ordered, heading, made_by, context)


def _ordered(sources: Sequence[Dataset], references: Sequence[ImageReference]) -> list[Dataset]:
    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    if any(reference.sop_instance_uid not in by_uid for reference in references):
        raise InvalidResultError("the result refers to an instance that is not among the sources")
    return sorted(
        by_uid.values(),
        key=lambda ds: (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID),
    )


def _report(
    content: Dataset,
    anchor: Dataset,
    sources: Sequence[Dataset],
    heading: str,
    made_by: str,
    context: ReportContext,
) -> Dataset:
    report = copy_patient_and_study(anchor)
    _add_series_and_identity(report, heading, context)
    created_at = add_times(report, context.created_at)
    add_equipment(report, context.node_version, context.device_uid)
    add_contribution(report, context.node_version, context.device_uid, created_at, made_by)
    for element in content:
        report.add(element)
    _add_evidence(report, sources, context)
    if _uses_private_codes(content):
        report.CodingSchemeIdentificationSequence = [_private_scheme()]
    add_file_meta(report, ExplicitVRLittleEndian)
    return report


def _add_series_and_identity(report: Dataset, heading: str, context: ReportContext) -> None:
    report.SOPClassUID = context.sr_sop_class
    report.SOPInstanceUID = context.sop_instance_uid
    report.InstanceNumber = context.revision
    report.ContentQualification = "RESEARCH"
    report.Modality = "SR"
    report.SeriesInstanceUID = context.series_instance_uid
    report.SeriesNumber = context.series_number
    report.SeriesDescription = heading
    report.ReferencedPerformedProcedureStepSequence = []
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.PerformedProcedureCodeSequence = []


def _add_evidence(report: Dataset, sources: Iterable[Dataset], context: ReportContext) -> None:
    """List sources and captures: those of this study as current, others as pertinent evidence."""
    captures = [_reference_header(reference) for reference in context.captures]
    current, other = collect_evidence(
        [*sources, *captures], report, study_instance_uid=report.StudyInstanceUID
    )
    if current:
        report.CurrentRequestedProcedureEvidenceSequence = current
    if other:
        report.PertinentOtherEvidenceSequence = other
    if context.predecessor is not None:
        report.PredecessorDocumentsSequence = [_predecessor(context.predecessor)]


def _reference_header(reference: ImageReference) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = reference.sop_class_uid
    ds.SOPInstanceUID = reference.sop_instance_uid
    ds.SeriesInstanceUID = reference.series_instance_uid
    ds.StudyInstanceUID = reference.study_instance_uid
    return ds


def _predecessor(reference: ImageReference) -> Dataset:
    """Reference another document by study, series and instance (PS3.3 table 10-3)."""
    instance = Dataset()
    instance.ReferencedSOPClassUID = reference.sop_class_uid
    instance.ReferencedSOPInstanceUID = reference.sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID = reference.series_instance_uid
    series.ReferencedSOPSequence = [instance]
    study = Dataset()
    study.StudyInstanceUID = reference.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return study


def _uses_private_codes(content: Dataset) -> bool:
    return any(
        element.keyword == "CodingSchemeDesignator" and element.value == codes.PRIVATE_SCHEME
        for element in content.iterall()
    )


def _private_scheme() -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = codes.PRIVATE_SCHEME
    item.CodingSchemeUID = codes.PRIVATE_SCHEME_UID
    item.CodingSchemeName = plain_text(codes.PRIVATE_SCHEME_NAME)
    return item
