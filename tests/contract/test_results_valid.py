"""Every kind of result passes the validators that others will use, without one error."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from node.results.capture_pixels import TransferSyntax
from node.results.primitives import StudyResult
from node.results.secondary_capture import build_capture
from node.results.structured_report import build_report
from tests.dicom_tools import dciodvfy_errors
from tests.results_objects import (
    CLIP,
    ROOT,
    SAMPLES,
    capture_context,
    gradient_frames,
    header,
    lvef_result,
    reasons_result,
    report_context,
    view_result,
)

PIXELMED = Path("/usr/share/java/pixelmed.jar")
RADIOGRAPH = ROOT / "tests/data/dx_animal_thorax.dcm"
STILL = SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm"

Builder = Callable[[Dataset], StudyResult]


def _pixelmed_lines(path: Path) -> list[str]:
    java = shutil.which("java")
    if java is None or not PIXELMED.exists():
        pytest.skip("needs: java and libpixelmed-java")
    # later Java versions limit XPath expressions to fewer operators than the templates have
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
    validator = "com.pixelmed.validate.DicomSRValidator"
    run = subprocess.run(
        [
            *(java, "-Xmx5g", *limits, "-cp", str(PIXELMED), validator),
            *("-checktemplateid", "-checkcontentitemorder", str(path)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return (run.stdout + run.stderr).splitlines()


def _written(ds: Dataset, folder: Path) -> Path:
    path = folder / "result.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("result", [lvef_result, view_result, reasons_result])
@pytest.mark.parametrize("source_path", [CLIP, STILL, RADIOGRAPH])
def test_reports_pass_dciodvfy(result: Builder, source_path: Path, tmp_path: Path) -> None:
    source = header(source_path)
    report = build_report(result(source), [source], report_context())
    assert dciodvfy_errors(_written(report, tmp_path)) == []


def test_comprehensive_sr_passes_dciodvfy(tmp_path: Path) -> None:
    source = header()
    context = replace(report_context(), sr_sop_class=ComprehensiveSRStorage)
    report = build_report(lvef_result(source), [source], context)
    assert dciodvfy_errors(_written(report, tmp_path)) == []


@pytest.mark.parametrize("transfer_syntax", ["jpeg", "rle", "explicit_le"])
@pytest.mark.parametrize("source_path", [CLIP, STILL, RADIOGRAPH])
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
    ("result", "template"), [(lvef_result, "TID_1500"), (reasons_result, "TID_2000")]
)
def test_reports_pass_the_template_validator(
    result: Builder, template: str, tmp_path: Path
) -> None:
    source = header()
    report = build_report(result(source), [source], report_context())
    lines = _pixelmed_lines(_written(report, tmp_path))
    assert any(template in line for line in lines)
    assert any("IOD validation complete" in line for line in lines)
    assert [line for line in lines if re.search(r"error|exception", line, re.IGNORECASE)] == []
