"""Transcoding keeps the picture and the instance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from node.sending.transcode import CaptureSyntax, frame_rgb, syntaxes_for, transcode
from tests.sending_objects import capture, picture, report


@pytest.mark.parametrize(
    ("stored", "preferred", "first", "last"),
    [
        (JPEGBaseline8Bit, "jpeg", JPEGBaseline8Bit, ImplicitVRLittleEndian),
        (JPEGBaseline8Bit, "rle", RLELossless, JPEGBaseline8Bit),
        (JPEGBaseline8Bit, "explicit_le", ExplicitVRLittleEndian, JPEGBaseline8Bit),
        (RLELossless, "jpeg", RLELossless, ImplicitVRLittleEndian),  # no second loss
        (ExplicitVRLittleEndian, "jpeg", ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    ],
)
def test_order_of_transfer_syntaxes(
    stored: UID, preferred: CaptureSyntax, first: UID, last: UID
) -> None:
    syntaxes = syntaxes_for(stored, preferred)
    assert (syntaxes[0], syntaxes[-1]) == (first, last)
    assert ExplicitVRLittleEndian in syntaxes


@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_write_read_compare(tmp_path: Path, target: UID) -> None:
    ds = dcmread(tmp_path / capture(tmp_path).path)
    before = [frame_rgb(ds, index) for index in range(3)]
    assert np.abs(before[0].astype(int) - picture(0)).mean() < 4  # JPEG's own loss
    transcode(ds, target)
    ds.save_as(tmp_path / "out.dcm", enforce_file_format=True)
    again = dcmread(tmp_path / "out.dcm")
    assert again.file_meta.TransferSyntaxUID == target
    assert np.array_equal(pixel_array(again), np.stack(before))
    assert again.LossyImageCompression == "01"


def test_an_object_without_pixels_only_changes_its_encoding(tmp_path: Path) -> None:
    ds = dcmread(tmp_path / report(tmp_path).path)
    transcode(ds, ImplicitVRLittleEndian)
    assert ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert "PixelData" not in ds


def test_other_targets_are_refused(tmp_path: Path) -> None:
    ds = dcmread(tmp_path / capture(tmp_path).path)
    with pytest.raises(ValueError, match="can't be transcoded to JPEG 2000"):
        transcode(ds, JPEG2000Lossless)
