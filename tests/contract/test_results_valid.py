"""Every kind of result passes the validators that others will use, without one error."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from node.results.capture_pixels import TransferSyntax
from node.results.primitives import StudyResult
from node.results.secondary_capture import build_capture
from node.results.structured_report import build_reasons_report, build_report
from tests.dicom_tools import dciodvfy_errors, pixelmed_lines
from tests.results_objects import (
    CLIP,
    ROOT,
    SAMPLES,
    capture_context,
    gradient_frames,
    header,
    lvef_result,
    reasons_report,
    report_context,
    unusual_result,
    view_result,
)

RADIOGRAPH = ROOT / "tests/data/dx_animal_thorax.dcm"
ECG = SAMPLES / "ecg12_mortara_1000hz.dcm"
STILL = SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm"

Builder = Callable[[Dataset], StudyResult]


def _written(ds: Dataset, folder: Path) -> Path:
    path = folder / "result.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _report(result: Builder) -> Callable[[Dataset], Dataset]:
    return lambda source: build_report(result(source), [source], report_context())


def _nothing_missing(source: Dataset) -> Dataset:
    return build_reasons_report([], source, [source], report_context())


def _ecg_missing(source: Dataset) -> Dataset:
    return reasons_report(source, header(ECG))


_REPORTS = {
    "lvef": _report(lvef_result),
    "view": _report(view_result),
    "unusual": _report(unusual_result),
    "reasons": reasons_report,
    "ecg": _ecg_missing,
    "nothing": _nothing_missing,
}


@pytest.mark.parametrize("name", _REPORTS)
@pytest.mark.parametrize("source_path", [CLIP, STILL, RADIOGRAPH])
def test_reports_pass_dciodvfy(name: str, source_path: Path, tmp_path: Path) -> None:
    report = _REPORTS[name](header(source_path))
    assert dciodvfy_errors(_written(report, tmp_path)) == []


def test_comprehensive_sr_passes_dciodvfy(tmp_path: Path) -> None:
    source = header()
    context = replace(report_context(), sr_sop_class=ComprehensiveSRStorage)
    report = build_report(lvef_result(source), [source], context)
    assert dciodvfy_errors(_written(report, tmp_path)) == []


@pytest.mark.parametrize("transfer_syntax", ["jpeg", "rle", "explicit_le"])
@pytest.mark.parametrize("source_path", [CLIP, STILL, RADIOGRAPH, ECG])
def test_captures_pass_dciodvfy(
    transfer_syntax: TransferSyntax, source_path: Path, tmp_path: Path
) -> None:
    source = header(source_path)
    frames = gradient_frames(int(source.get("NumberOfFrames") or 1))
    context = replace(capture_context(), transfer_syntax=transfer_syntax)
    capture = build_capture(source, frames, context)
    assert dciodvfy_errors(_written(capture, tmp_path)) == []


def test_dciodvfy_finds_a_missing_attribute(tmp_path: Path) -> None:
    source = header()
    report = build_report(lvef_result(source), [source], report_context())
    del report.CompletionFlag
    assert any("CompletionFlag" in line for line in dciodvfy_errors(_written(report, tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "template"),
    [("lvef", "TID_1500"), ("unusual", "TID_1500"), ("ecg", "TID_2000"), ("nothing", "TID_2000")],
)
def test_reports_pass_the_template_validator(name: str, template: str, tmp_path: Path) -> None:
    report = _REPORTS[name](header())
    lines = pixelmed_lines(_written(report, tmp_path))
    assert any(template in line for line in lines)
    assert any("IOD validation complete" in line for line in lines)
    assert [line for line in lines if re.search(r"error|exception", line, re.IGNORECASE)] == []
