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
from node.results.header import RESEARCH_USE_ONLY
from node.results.primitives import NotAnalysed
from node.results.report_items import (
    concept,
    container,
    language_and_observer,
    reason,
    text,
)

_NOTHING_LEFT = "Every finding that applies to the instances of this study was made."


def reasons_content(
    not_analysed: Sequence[NotAnalysed],
    sources: Sequence[Dataset],
    device_uid: str,
    node_version: str,
) -> Dataset:
    """Build the root container of a report that says what could not be analysed, and why.

    Parameters
    ----------
    not_analysed
        In the order in which they are told. When there is none, the report says so: it replaces
        one that had some.
    sources
        Headers of all instances that are referred to.
    """
    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    root = ContainerContentItem(concept(codes.DIAGNOSTIC_IMAGING_REPORT), template_id="2000")
    reasons = [
        reason(missing, by_uid[missing.image.sop_instance_uid], codes.FINDING)
        for missing in not_analysed
    ] or [text(codes.FINDING, _NOTHING_LEFT)]
    statement = text(
        codes.FINDING, f"What is not listed here is in the other reports. {RESEARCH_USE_ONLY}."
    )
    root.ContentSequence = ContentSequence(
        [
            *language_and_observer(device_uid, node_version),
            container(standard.DCM.Findings, [*reasons, statement]),
        ]
    )
    return root
