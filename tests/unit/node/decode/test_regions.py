"""Regions and calibration are believed only where they fit the image."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from models.inputs import Box
from node.decode.regions import b_mode_region, ecg_strip, read_regions, spacing_of
from tests.build_instances import region

_ROWS, _COLUMNS = 240, 320


def _ds(*found: Dataset) -> Dataset:
    ds = Dataset()
    ds.SequenceOfUltrasoundRegions = Sequence(found)
    return ds


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((0, 0, 319, 239), Box(0, 0, 320, 240)),
        ((0, 0, 320, 240), Box(0, 0, 320, 240)),  # some write the size
        ((84, 31, 200, 100), Box(84, 31, 201, 101)),
    ],
)
def test_inside(corners: tuple[int, int, int, int], box: Box) -> None:
    (found,) = read_regions(_ds(region(corners)), _ROWS, _COLUMNS)
    assert found.valid
    assert found.box == box


@pytest.mark.parametrize(
    "corners", [(84, 31, 595, 414), (10, 10, 10, 20), (50, 10, 40, 20), (0, 0, 319, 241)]
)
def test_beyond_the_image_withholds_the_scale(corners: tuple[int, int, int, int]) -> None:
    regions = read_regions(_ds(region(corners)), _ROWS, _COLUMNS)
    assert not regions[0].valid
    assert b_mode_region(regions) is None
    spacing, reason = spacing_of(regions)
    assert spacing is None
    assert "beyond the image" in reason


def test_scale_is_per_direction_and_unsigned() -> None:
    item = region((0, 0, 319, 239), delta=0.05)
    item.PhysicalDeltaX = -0.06  # cm; the axis points the other way
    spacing, reason = spacing_of(read_regions(_ds(item), _ROWS, _COLUMNS))
    assert spacing == pytest.approx((0.5, 0.6))
    assert reason == ""


@pytest.mark.parametrize("delta", [0.0001, 0.5, 0.0])
def test_implausible_depth(delta: float) -> None:
    spacing, reason = spacing_of(
        read_regions(_ds(region((0, 0, 319, 239), delta=delta)), _ROWS, _COLUMNS)
    )
    assert spacing is None
    assert "plausible" in reason or "no centimetre scale" in reason


def test_no_centimetres() -> None:
    item = region((0, 0, 319, 239))
    item.PhysicalUnitsYDirection = 0
    assert spacing_of(read_regions(_ds(item), _ROWS, _COLUMNS))[0] is None


def test_kinds() -> None:
    regions = read_regions(
        _ds(
            region((0, 0, 99, 99)),
            region((100, 0, 319, 99)),
            region((0, 100, 99, 149), 1, 2),
            region((0, 150, 99, 199), 2, 1),
            region((100, 150, 199, 199), 3, 3),
            region((0, 200, 319, 239), 4, 10, delta=0.01),
        ),
        _ROWS,
        _COLUMNS,
    )
    assert [r.is_b_mode for r in regions] == [True, True, False, False, False, False]
    assert [r.is_colour for r in regions] == [False, False, True, False, False, False]
    assert [r.is_m_mode for r in regions] == [False, False, False, True, False, False]
    assert [r.is_spectral for r in regions] == [False, False, False, False, True, False]
    assert b_mode_region(regions) == regions[1]
    assert ecg_strip(regions) == Box(0, 200, 320, 240)
    assert regions[5].delta_x_ms == pytest.approx(10.0)


def test_a_region_without_a_location_is_left_out() -> None:
    item = region((0, 0, 319, 239))
    del item.RegionLocationMaxX1
    assert read_regions(_ds(item), _ROWS, _COLUMNS) == ()
    assert read_regions(Dataset(), _ROWS, _COLUMNS) == ()
