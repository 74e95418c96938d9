"""The built-in check names the attribute that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from node.errors import InvalidResultError
from node.results.secondary_capture import build_capture
from node.results.structured_report import build_report
from node.results.validate import validate_result
from tests.results_objects import (
    capture_context,
    gradient_frames,
    header,
    lvef_result,
    report_context,
)

Change = Callable[[Dataset], object]


def _report() -> Dataset:
    source = header()
    return build_report(lvef_result(source), [source], report_context())


def _capture() -> Dataset:
    return build_capture(header(), gradient_frames(30), capture_context())


def _group(report: Dataset) -> Dataset:
    measurements = next(
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "126010"
    )
    return measurements.ContentSequence[0]


def _number(report: Dataset) -> Dataset:
    return next(item for item in _group(report).ContentSequence if item.ValueType == "NUM")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: delattr(ds, "PatientID"), "PatientID: missing"),
        (lambda ds: setattr(ds, "Modality", ""), "Modality: empty"),
        (lambda ds: setattr(ds, "SOPClassUID", "1.2.840.10008.1.1"), "SOPClassUID: not one"),
        (lambda ds: delattr(ds, "CompletionFlag"), "CompletionFlag: missing"),
        (
            lambda ds: delattr(ds, "CurrentRequestedProcedureEvidenceSequence"),
            "CurrentRequestedProcedureEvidenceSequence: missing",
        ),
        (lambda ds: delattr(ds.file_meta, "TransferSyntaxUID"), "TransferSyntaxUID: missing"),
        (
            lambda ds: setattr(ds.file_meta, "MediaStorageSOPInstanceUID", "1.2"),
            "MediaStorageSOPInstanceUID: differs",
        ),
        (lambda ds: delattr(_number(ds), "ContentSequence"), "exactly one region"),
        (lambda ds: setattr(_number(ds), "ValueType", "TIME"), "exactly one number|ValueType"),
        (
            lambda ds: _number(ds).ContentSequence[0].GraphicData.pop(),
            "GraphicData: the outline is not closed",
        ),
        (lambda ds: delattr(_group(ds).ContentSequence[0], "TextValue"), "TextValue: missing"),
        (lambda ds: delattr(_group(ds), "RelationshipType"), "RelationshipType: missing"),
        (
            lambda ds: delattr(ds.ConceptNameCodeSequence[0], "CodeMeaning"),
            "CodeMeaning: missing",
        ),
    ],
)
def test_a_report_that_lacks_something_is_refused(change: Change, message: str) -> None:
    report = _report()
    validate_result(report)
    change(report)
    with pytest.raises(InvalidResultError, match=message):
        validate_result(report)


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: delattr(ds, "BurnedInAnnotation"), "BurnedInAnnotation: missing"),
        (lambda ds: delattr(ds, "PatientOrientation"), "PatientOrientation: missing"),
        (lambda ds: delattr(ds, "FrameIncrementPointer"), "FrameIncrementPointer: missing"),
        (lambda ds: delattr(ds, "FrameTime"), "FrameIncrementPointer: points to nothing"),
        (lambda ds: setattr(ds, "NumberOfFrames", 29), "PixelData: holds another number"),
        (lambda ds: setattr(ds, "SeriesDescription", "x" * 65), "SeriesDescription: longer"),
        (lambda ds: setattr(ds, "StudyInstanceUID", "1.02.x"), "StudyInstanceUID: not a valid"),
    ],
)
def test_a_capture_that_lacks_something_is_refused(change: Change, message: str) -> None:
    capture = _capture()
    validate_result(capture)
    change(capture)
    with pytest.raises(InvalidResultError, match=message):
        validate_result(capture)


def test_the_pixels_of_a_plain_capture_are_counted() -> None:
    from dataclasses import replace

    context = replace(capture_context(), transfer_syntax="explicit_le")
    capture = build_capture(header(), gradient_frames(30), context)
    validate_result(capture)
    capture.PixelData = capture.PixelData[:-2]
    with pytest.raises(InvalidResultError, match="PixelData"):
        validate_result(capture)


def test_evidence_must_hold_what_is_referenced() -> None:
    report = _report()
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2"
    with pytest.raises(InvalidResultError, match="not listed as evidence"):
        validate_result(report)
