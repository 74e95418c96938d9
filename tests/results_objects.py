"""Builds results, contexts and sources for the tests of reports and captures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.results import codes
from node.results.primitives import (
    PERCENT,
    Algorithm,
    Code,
    Group,
    ImageReference,
    Measurement,
    NotAnalysed,
    QualitativeFinding,
    Region,
    StudyResult,
    Unusual,
)
from node.results.secondary_capture import CaptureContext
from node.results.structured_report import ReportContext, build_reasons_report
from node.results.uids import derive_uid

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_dicom"
CLIP = SAMPLES / "echo_a4c_sonosite_30f_small.dcm"
STATEMENT = "trained on simulated data, not for clinical use"
ALGORITHM = Algorithm("cardionode-e3net", "0.1.0", "ab" * 32, STATEMENT)
CREATED_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DEVICE_UID = derive_uid("a device of the tests")

_NO_BEAT = partial(
    NotAnalysed,
    "Left ventricular ejection fraction",
    reason="no complete heart beat in the clip",
)
_angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
BORDER = tuple((165 + 22 * np.cos(a), 95 + 45 * np.sin(a)) for a in _angles)
SECTOR = ((160.0, 8.0), (60.0, 180.0), (110.0, 220.0), (210.0, 220.0), (260.0, 180.0))


def header(path: Path = CLIP) -> Dataset:
    """A source without its pixels."""
    return dcmread(path, stop_before_pixels=True)


def reference(source: Dataset, frame: int | None = None) -> ImageReference:
    """A reference to a source."""
    return ImageReference(
        source.SOPClassUID,
        source.SOPInstanceUID,
        source.SeriesInstanceUID,
        source.StudyInstanceUID,
        frame,
    )


def lvef_group(source: Dataset, name: str, value: float, view: Code, frame: int) -> Group:
    """An ejection fraction with the border it is inferred from."""
    return Group(
        tracking_id=f"LVEF {name}",
        finding=codes.EJECTION_FRACTION,
        site=codes.LEFT_VENTRICLE,
        measurement=Measurement(codes.LVEF, value, PERCENT),
        region=Region(BORDER, reference(source, frame)),
        qualitative=(QualitativeFinding(codes.IMAGE_VIEW, view),),
        comment=f"LVEF {value:.0f} %, {name}",
    )


def lvef_result(source: Dataset) -> StudyResult:
    """The study's answer, two clips, and one that could not be analysed."""
    return StudyResult(
        finding="ejection_fraction",
        title="Left ventricular ejection fraction",
        algorithm=ALGORITHM,
        groups=(
            lvef_group(source, "study", 55.1, codes.VIEW_A4C, 9),
            lvef_group(source, "clip 1", 56.2, codes.VIEW_A4C, 9),
            lvef_group(source, "clip 2", 54.0, codes.VIEW_A2C, 12),
        ),
        not_analysed=(_NO_BEAT(reference(source)),),
    )


def view_result(source: Dataset) -> StudyResult:
    """A view without a standard code, over the ultrasound sector."""
    group = Group(
        tracking_id="View clip 1",
        finding=codes.IMAGE_VIEW,
        site=codes.HEART,
        measurement=Measurement(codes.PROBABILITY, 91.0, PERCENT),
        region=Region(SECTOR, reference(source, 1)),
        qualitative=(QualitativeFinding(codes.IMAGE_VIEW, codes.VIEW_OTHER),),
        comment="Other view, 91 %",
    )
    return StudyResult("echo_view", "Echo view", ALGORITHM, (group,))


def unusual_result(source: Dataset) -> StudyResult:
    """A clip outside the training distribution, and one inside."""
    result = lvef_result(source)
    said = (Unusual(100.0, True), Unusual(99.73, True), Unusual(41.0, False))
    groups = [replace(g, unusual=u) for g, u in zip(result.groups, said, strict=True)]
    return replace(result, groups=tuple(groups))


def reasons_report(*sources: Dataset) -> Dataset:
    """The report of what could not be made of sources."""
    missing = [_NO_BEAT(reference(source)) for source in sources]
    return build_reasons_report(missing, sources[0], sources, report_context())


def report_context(name: str = "report") -> ReportContext:
    """A context whose UIDs depend on ``name``."""
    return ReportContext(
        sop_instance_uid=derive_uid(name),
        series_instance_uid=derive_uid(name, "series"),
        series_number=9001,
        created_at=CREATED_AT,
        node_version="0.1.0",
        device_uid=DEVICE_UID,
    )


def capture_context(name: str = "capture") -> CaptureContext:
    """A context whose UIDs depend on ``name``."""
    return CaptureContext(
        sop_instance_uid=derive_uid(name),
        series_instance_uid=derive_uid(name, "series"),
        series_number=9101,
        created_at=CREATED_AT,
        node_version="0.1.0",
        device_uid=DEVICE_UID,
        title="Left ventricular ejection fraction",
        algorithm=ALGORITHM,
    )


def gradient_frames(number: int, rows: int = 48, columns: int = 64) -> np.ndarray:
    """Smooth colour frames, all different; uint8, ``(number, rows, columns, 3)``."""
    y, x = np.mgrid[:rows, :columns]
    frames = [
        np.stack([x * 255 // columns, y * 255 // rows, np.full_like(x, 8 * index % 256)], axis=-1)
        for index in range(number)
    ]
    return np.stack(frames).astype(np.uint8)
