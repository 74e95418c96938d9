"""The content tree of a report with measurements: TID 1500 with TID 1501 groups (PS3.16)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    ContainerContentItem,
    ContentSequence,
    CoordinatesForMeasurement,
    FindingSite,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from node.results import codes
from node.results.header import RESEARCH_USE_ONLY, plain_text
from node.results.outline import closed_outline
from node.results.primitives import (
    Algorithm,
    Group,
    ImageReference,
    QualitativeFinding,
    StudyResult,
    Unusual,
)
from node.results.report_items import (
    concept,
    container,
    frame_numbers,
    image_library,
    language_and_observer,
    procedure_reported,
    reason,
    resting_on,
    statement_of_use,
    text,
)
from node.results.uids import derive_uid

COMMENT_LENGTH = 50
"""Longer comments reach beyond the viewport where OHIF draws them."""


def measurement_content(
    result: StudyResult, sources: Sequence[Dataset], device_uid: str, node_version: str
) -> Dataset:
    """Build the root container of a report with at least one group.

    Parameters
    ----------
    sources
        Headers of all instances, in the order in which the image library lists them.

    Raises
    ------
    InvalidResultError
        When a region or a frame number is not usable.
    """
    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    root = ContainerContentItem(concept(codes.IMAGING_MEASUREMENT_REPORT), template_id="1500")
    content = ContentSequence(
        [*language_and_observer(device_uid, node_version), procedure_reported()]
    )
    content.append(image_library([ds for ds in sources if "Rows" in ds and "Columns" in ds]))
    groups = ContentSequence()
    labels: Counter[ImageReference] = Counter()
    for group in result.groups:
        image = group.region.image
        groups.extend(_group(group, result, by_uid[image.sop_instance_uid], labels[image]))
        labels[image] += 1
    content.append(container(standard.DCM.ImagingMeasurements, groups))
    evaluations = [statement_of_use(result.title, result.algorithm, codes.COMMENT)]
    evaluations += [
        text(codes.COMMENT, f"{group.tracking_id}: {how_unusual(group.unusual)}")
        for group in result.groups
        if group.unusual is not None
    ]
    evaluations += [
        resting_on(result.title, each, by_uid[each.image.sop_instance_uid], codes.COMMENT)
        for each in result.basis
    ]
    evaluations += [
        reason(missing, by_uid[missing.image.sop_instance_uid], codes.COMMENT)
        for missing in result.not_analysed
    ]
    content.append(container(concept(codes.QUALITATIVE_EVALUATIONS), evaluations))
    root.ContentSequence = content
    return root


def how_unusual(unusual: Unusual) -> str:
    """Say it in words: ``more unusual than 99.7 % of the validation inputs: outside ...``."""
    share = "every one" if unusual.percentile >= 100 else f"{unusual.percentile:.1f} %"
    where = codes.OUTSIDE_TRAINING if unusual.outside else codes.INSIDE_TRAINING
    return f"more unusual than {share} of the validation inputs: {where.meaning.lower()}"


def shown_comment(comment: str) -> str:
    """Add that it is for research to a comment, and keep it short enough to be drawn.

    Returns
    -------
    At most 50 ASCII characters that end in "RESEARCH USE ONLY".
    """
    shown = plain_text(comment).replace(RESEARCH_USE_ONLY, "").strip(" .,;-")
    if not shown:
        return RESEARCH_USE_ONLY
    room = COMMENT_LENGTH - len(f" - {RESEARCH_USE_ONLY}")
    if len(shown) > room:
        shown = shown[: room + 1].rsplit(" ", 1)[0][:room].rstrip(" ,;-")
    return f"{shown} - {RESEARCH_USE_ONLY}"


def _group(
    group: Group, result: StudyResult, source: Dataset, label: int
) -> MeasurementsAndQualitativeEvaluations:
    reference = group.region.image
    region = CoordinatesForMeasurement(
        "POLYLINE",
        closed_outline(group.region.points, int(source.Rows), int(source.Columns), label),
        SourceImageForRegion(
            reference.sop_class_uid, reference.sop_instance_uid, frame_numbers(reference, source)
        ),
    )
    # the number has no child but its region: viewers skip a number that has more
    number = Measurement(
        concept(group.measurement.name),
        round(float(group.measurement.value), 4),
        concept(group.measurement.unit),
        referenced_coordinates=[region],
    )
    template = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            _tracking_uid(group, result), plain_text(group.tracking_id)
        ),
        finding_type=concept(group.finding),
        finding_sites=[FindingSite(concept(group.site))],
        algorithm_id=_algorithm(result.algorithm),
        measurements=[number],
        qualitative_evaluations=[
            QualitativeEvaluation(concept(answer.name), concept(answer.value))
            for answer in (*group.qualitative, *_relative_to_training(group.unusual))
        ],
    )
    template[0].ContentSequence.append(text(codes.COMMENT, shown_comment(group.comment)))
    return template


def _relative_to_training(unusual: Unusual | None) -> tuple[QualitativeFinding, ...]:
    if unusual is None:
        return ()
    value = codes.OUTSIDE_TRAINING if unusual.outside else codes.INSIDE_TRAINING
    return (QualitativeFinding(codes.RELATIVE_TO_TRAINING, value),)


def _tracking_uid(group: Group, result: StudyResult) -> str:
    return derive_uid(
        "tracking",
        group.region.image.study_instance_uid,
        result.finding,
        result.algorithm.version,
        result.algorithm.weights_sha256,
        *(other.sha256 for other in result.algorithm.others),
        group.tracking_id,
    )


def _algorithm(algorithm: Algorithm) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=plain_text(algorithm.name),
        version=plain_text(algorithm.version),
        parameters=[
            f"weights sha256 {algorithm.weights_sha256}",
            *(
                plain_text(f"with {other.name} {other.version} weights sha256 {other.sha256}")
                for other in algorithm.others
            ),
            plain_text(algorithm.statement),
        ],
    )
