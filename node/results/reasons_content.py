"""The content tree of a report that only gives reasons: TID 2000, a basic imaging report (PS3.16).

A measurement report without any group is valid, but OHIF fails to open a study that has one; it
shows a report of this template as text.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import ContainerContentItem, ContentSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from node.results import codes
from node.results.primitives import StudyResult
from node.results.report_items import (
    concept,
    container,
    language_and_observer,
    reason,
    statement_of_use,
)


def reasons_content(
    result: StudyResult, sources: Sequence[Dataset], device_uid: str, node_version: str
) -> Dataset:
    """Build the root container of a report that says why nothing could be analysed.

    Parameters
    ----------
    sources
        Headers of all instances that the result refers to.

    Raises
    ------
    InvalidResultError
        When a frame number is not usable.
    """
    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    root = ContainerContentItem(concept(codes.DIAGNOSTIC_IMAGING_REPORT), template_id="2000")
    reasons = [
        reason(result.title, missing, by_uid[missing.image.sop_instance_uid], codes.FINDING)
        for missing in result.not_analysed
    ]
    statement = statement_of_use(result.title, result.algorithm, codes.FINDING)
    root.ContentSequence = ContentSequence(
        [
            *language_and_observer(device_uid, node_version),
            container(standard.DCM.Findings, [*reasons, statement]),
        ]
    )
    return root
