"""Captures: pixels, timing and history, read back from their bytes."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from node.errors import InvalidResultError
from node.results.capture_pixels import TransferSyntax
from node.results.secondary_capture import CaptureContext, build_capture
from node.results.validate import validate_result
from tests.results_objects import (
    CLIP,
    ROOT,
    SAMPLES,
    STATEMENT,
    capture_context,
    gradient_frames,
    header,
)


def _bytes(capture: Dataset) -> bytes:
    buffer = BytesIO()
    capture.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _built(source: Dataset, frames: np.ndarray, context: CaptureContext | None = None) -> Dataset:
    """A capture, validated and read back from its bytes."""
    capture = build_capture(source, iter(frames), context or capture_context())
    validate_result(capture)
    return dcmread(BytesIO(_bytes(capture)))


@pytest.mark.parametrize(
    ("transfer_syntax", "uid", "difference"),
    [
        ("jpeg", JPEGBaseline8Bit, 2.0),
        ("rle", RLELossless, 0.0),
        ("explicit_le", ExplicitVRLittleEndian, 0.0),
    ],
)
def test_pixels_survive(transfer_syntax: TransferSyntax, uid: str, difference: float) -> None:
    frames = gradient_frames(30, rows=49, columns=63)  # odd sizes need padding
    context = replace(capture_context(), transfer_syntax=transfer_syntax)
    capture = _built(header(), frames, context)
    assert capture.file_meta.TransferSyntaxUID == uid
    assert np.abs(pixel_array(capture).astype(int) - frames).mean() <= difference


def test_flat_and_noisy_frames_survive_rle() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 300, 3), dtype=np.uint8)
    frames = np.stack([np.zeros_like(noise), noise] * 15)
    context = replace(capture_context(), transfer_syntax="rle")
    assert np.array_equal(pixel_array(_built(header(), frames, context)), frames)


def test_says_what_it_is() -> None:
    source = header()
    capture = _built(source, gradient_frames(30))
    assert capture.ImageType == ["DERIVED", "SECONDARY"]
    assert capture.BurnedInAnnotation == "YES"
    assert capture.ContentQualification == "RESEARCH"
    assert (capture.Modality, capture.BodyPartExamined) == ("US", "HEART")
    assert STATEMENT in capture.DerivationDescription
    assert "RESEARCH USE ONLY" in capture.SeriesDescription
    assert capture.DerivationCodeSequence[0].CodeValue == "130403"
    (image,) = capture.SourceImageSequence
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_the_same_arguments_give_the_same_bytes() -> None:
    frames = gradient_frames(30)
    first, second = (_bytes(build_capture(header(), frames, capture_context())) for _ in range(2))
    assert first == second


@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
def test_keeps_the_frame_times_of_its_source() -> None:
    assert _built(header(), gradient_frames(30)).FrameTime == 33.333
    irregular = header(SAMPLES / "echo_colour_acuson_fragmented.dcm")
    capture = _built(irregular, gradient_frames(8))
    assert capture.FrameTimeVector == irregular.FrameTimeVector
    assert capture["FrameIncrementPointer"].value == capture["FrameTimeVector"].tag


def test_makes_no_frame_times_up() -> None:
    source = header()
    del source.FrameTime
    source.CineRate = 25
    assert _built(source, gradient_frames(30)).FrameTime == 40
    del source.CineRate
    untimed = _built(source, gradient_frames(30))
    assert "FrameTime" not in untimed
    assert untimed["FrameIncrementPointer"].value == untimed["PageNumberVector"].tag


@pytest.mark.parametrize(
    "path",
    [
        SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm",
        SAMPLES / "echo_tee_colour_still_pl.dcm",
        ROOT / "tests/data/dx_animal_thorax.dcm",
    ],
)
def test_a_still_becomes_one_frame(path: Path) -> None:
    capture = _built(header(path), gradient_frames(1))
    assert capture.NumberOfFrames == 1
    assert "FrameIncrementPointer" not in capture


def test_what_was_lost_stays_lost() -> None:
    source = header()  # lossy 1:19, the method only in its transfer syntax
    frames = gradient_frames(30)
    jpeg = _built(source, frames)
    assert jpeg.LossyImageCompression == "01"
    assert list(jpeg.LossyImageCompressionMethod) == ["ISO_10918_1"] * 2
    assert jpeg.LossyImageCompressionRatio[0] == 19
    rle = _built(source, frames, replace(capture_context(), transfer_syntax="rle"))
    assert rle.LossyImageCompression == "01"
    assert rle.LossyImageCompressionRatio == 19


def test_an_unknown_ratio_is_not_made_up() -> None:
    source = header(SAMPLES / "echo_apical_agilent_10f.dcm")  # lossy, no ratio
    context = replace(capture_context(), transfer_syntax="rle")
    capture = _built(source, gradient_frames(10), context)
    assert capture.LossyImageCompression == "01"
    assert "LossyImageCompressionRatio" not in capture


def test_lossless_stays_lossless() -> None:
    source = header(SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm")
    context = replace(capture_context(), transfer_syntax="rle")
    assert _built(source, gradient_frames(1), context).LossyImageCompression == "00"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "needs a frame"),
        (np.zeros((30, 8, 8), np.uint8), "8-bit RGB"),
        (np.zeros((30, 8, 8, 3), np.float32), "8-bit RGB"),
    ],
)
def test_refuses_frames_that_do_not_fit(frames: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidResultError, match=message):
        build_capture(header(CLIP), frames, capture_context())


def test_refuses_frames_of_different_sizes() -> None:
    frames = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)]
    with pytest.raises(InvalidResultError, match="differ in size"):
        build_capture(header(), frames, capture_context())
