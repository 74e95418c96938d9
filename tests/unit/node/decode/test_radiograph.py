"""Radiographs come out dark for air, 0 to 1 over what the stored bits can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from models.inputs import Radiograph
from node.decode.child import examine
from node.decode.examined import Examined
from node.decode.scratch import Scratch
from node.errors import BadObjectError
from tests import build_instances as build

_STORED = (np.arange(40 * 48, dtype=np.uint16).reshape(1, 40, 48) * 2) % 4096


def _radiograph(syntax: str = build.EXPLICIT, photometric: str = "MONOCHROME2") -> Dataset:
    ds = build.header(build.DX, "DX")
    ds.ImageType, ds.BodyPartExamined, ds.ViewPosition = ["ORIGINAL", "PRIMARY"], "CHEST", "PA"
    return build.put_pixels(ds, _STORED, syntax, photometric, bits_stored=12)


def _examine(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> Examined:
    scratch = Scratch(tmp_path / "scratch")
    try:
        return examine(build.save(ds, tmp_path / "instance.dcm", syntax), scratch, 64 << 20)
    finally:
        scratch.close()


def _decode(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> Radiograph:
    decoded = _examine(ds, tmp_path, syntax).decoded
    assert decoded is not None
    assert isinstance(decoded.input, Radiograph)
    return decoded.input


@pytest.mark.parametrize(
    "syntax",
    [build.EXPLICIT, build.IMPLICIT, build.BIG, build.RLE, build.SV1, build.LS, build.J2K_LOSSLESS],
)
def test_every_encoding(syntax: str, tmp_path: Path) -> None:
    found = _decode(_radiograph(syntax), tmp_path, syntax)
    np.testing.assert_allclose(found.pixels, _STORED[0] / 4095.0, atol=1e-6)
    assert found.pixels.dtype == np.float32
    assert (found.view_position, found.body_part) == ("PA", "CHEST")


def test_extended_jpeg_has_twelve_bits(tmp_path: Path) -> None:
    ds = build.put_pixels(_radiograph(), _STORED // 2, build.EXTENDED, bits_stored=12)
    found = _decode(ds, tmp_path, build.EXTENDED)
    assert np.abs(found.pixels - _STORED[0] // 2 / 4095.0).mean() < 0.005


def test_monochrome1_is_turned_over(tmp_path: Path) -> None:
    found = _decode(_radiograph(photometric="MONOCHROME1"), tmp_path)
    np.testing.assert_allclose(found.pixels, 1.0 - _STORED[0] / 4095.0, atol=1e-6)


def test_signed_samples(tmp_path: Path) -> None:
    ds = build.put_pixels(_radiograph(), _STORED.astype(np.int16) - 2048, bits_stored=12)
    found = _decode(ds, tmp_path)
    np.testing.assert_allclose(found.pixels, _STORED[0] / 4095.0, atol=1e-6)


def test_a_falling_rescale_turns_over(tmp_path: Path) -> None:
    ds = _radiograph()
    ds.RescaleSlope, ds.RescaleIntercept = "-1", "4095"
    np.testing.assert_allclose(_decode(ds, tmp_path).pixels, 1.0 - _STORED[0] / 4095.0, atol=1e-6)


def test_modality_lut(tmp_path: Path) -> None:
    item = Dataset()
    table = (np.arange(4096, dtype=np.float64) ** 2 / 4095).astype("<u2")
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "US"
    item["LUTDescriptor"].VR = "US"
    item.LUTData = table.tobytes()
    item["LUTData"].VR = "OW"
    ds = _radiograph()
    ds.ModalityLUTSequence = Sequence([item])
    found = _decode(ds, tmp_path)
    np.testing.assert_allclose(found.pixels, table[_STORED[0]] / table.max(), atol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "imager", "expected"),
    [
        ([0.2, 0.3], [0.4, 0.4], (0.2, 0.3)),
        ([0, 0], [0.4, 0.4], (0.4, 0.4)),
        (None, None, None),
        ([0, 0], None, None),
    ],
)
def test_spacing(
    spacing: list[float] | None,
    imager: list[float] | None,
    expected: tuple[float, float] | None,
    tmp_path: Path,
) -> None:
    ds = _radiograph()
    if spacing:
        ds.PixelSpacing = spacing
    if imager:
        ds.ImagerPixelSpacing = imager
    examined = _examine(ds, tmp_path)
    assert examined.instance.pixel_spacing_mm == expected
    assert bool(examined.notes) == (expected != (0.2, 0.3))


def test_a_flat_lut_is_refused(tmp_path: Path) -> None:
    ds = _radiograph()
    ds.RescaleSlope, ds.RescaleIntercept = "0.0000001", "1e300"
    with pytest.raises(BadObjectError, match="same meaning"):
        _examine(ds, tmp_path)
