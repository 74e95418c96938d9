"""The picture that a reader sees: heat, border, strip."""

from __future__ import annotations

import numpy as np
import pytest

from models.inputs import Box, ClipWindow
from node.results.overlay import Heat, blend

BANNER = "LVEF 56 % · A4C · RESEARCH USE ONLY, trained on simulated data"
GREY = np.full((6, 120, 160, 3), 80, np.uint8)


def _spot() -> np.ndarray:
    maps = np.zeros((1, 8, 8), np.float32)
    maps[0, 2, 5] = 1
    return maps


def test_the_source_keeps_its_place_and_the_strip_stands_below() -> None:
    source = GREY.copy()
    blended = blend(source, None, {}, BANNER)
    assert np.array_equal(blended[:, :120], source)
    assert np.array_equal(source, GREY)
    assert blended.shape[0:1] + blended.shape[2:] == (6, 160, 3)
    assert blended.shape[1] % 2 == 0
    assert blended[0, 120:].max() == 255


def test_heat_is_drawn_where_it_is() -> None:
    blended = blend(GREY, Heat(_spot()), {}, BANNER)
    changed = np.abs(blended[0, :120].astype(int) - 80).sum(axis=-1)
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert 2 * 15 - 8 <= row < 3 * 15 + 8
    assert 5 * 20 - 8 <= column < 6 * 20 + 8
    assert changed[100:, :60].max() == 0


def test_a_window_may_reach_beyond_the_image() -> None:
    heat = Heat(np.ones((1, 8, 8)), ClipWindow(Box(-20, -40, 60, 40), 112))
    blended = blend(GREY, heat, {}, BANNER)
    changed = np.any(blended[0, :120] != 80, axis=-1)
    assert changed[:40, :60].all()
    assert not changed[40:].any()
    assert not changed[:, 60:].any()
    outside = Heat(np.ones((1, 8, 8)), ClipWindow(Box(500, 500, 580, 580), 112))
    assert np.array_equal(blend(GREY, outside, {}, BANNER)[:, :120], GREY)


def test_maps_are_interpolated_in_time() -> None:
    maps = np.stack([np.zeros((4, 4)), np.full((4, 4), 0.5)])
    blended = blend(GREY, Heat(maps, positions=np.array([1.0, 5.0])), {}, BANNER)
    difference = np.abs(blended[:, :120].astype(int) - 80).mean(axis=(1, 2, 3))
    assert difference[0] == difference[1] == 0
    assert np.all(np.diff(difference[2:]) > 0)


def test_values_beyond_the_range_and_gaps_are_harmless() -> None:
    maps = np.array([[[np.nan, -3.0], [9.0, 1.0]]])
    assert blend(GREY, Heat(maps), {}, BANNER).dtype == np.uint8


def test_borders_are_drawn_on_their_frames_only() -> None:
    square = np.array([[20.0, 20.0], [60.0, 20.0], [60.0, 60.0], [20.0, 60.0]])
    blended = blend(GREY, None, {2: square}, BANNER)
    assert np.array_equal(blended[1, :120], GREY[1])
    assert blended[2, 20, 40].argmax() == 1
    assert np.array_equal(blended[2, 40, 40], GREY[2, 40, 40])


@pytest.mark.parametrize("columns", [64, 120, 240, 640, 1280])
def test_the_banner_fits_at_every_size(columns: int) -> None:
    frames = np.zeros((1, 48, columns, 3), np.uint8)
    strip = blend(frames, Heat(_spot()), {}, BANNER)[0, 48:]
    lit = np.all(strip > 100, axis=-1)
    assert lit.any()
    assert not lit[-1].any()
    if columns > 64:  # one word is wider than the smallest picture
        assert not lit[:, -1].any()
