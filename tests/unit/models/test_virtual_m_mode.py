"""Virtual M-mode: where the line lies, and that a moving wall is where and when it should be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.virtual_m_mode import (
    INPUT_SIDE,
    POINT_OF_INTEREST,
    SEPTUM_SHARE,
    STRIP_SIDE,
    HeartCycle,
    NoHeartCycleError,
    choose_cycle,
    draw_strip,
    expected_place,
    measured_septum,
    network_input,
    scan_line,
    septum_contrast,
    septum_points,
)


def border(left: float = 0.4, right: float = 0.6) -> npt.NDArray[np.float64]:
    """A straight, upright ventricle from 0.2 to 0.8 of the window's height."""
    y = 0.2 + 0.6 * (np.arange(20) + 0.5) / 20
    return np.stack([np.full(20, left), y, np.full(20, right), y], axis=1)


def turned(chords: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ((chords.reshape(-1, 2, 2) - 0.5) @ turn + 0.5).reshape(-1, 4)


def test_septum_runs_from_base_to_apex_outside_of_the_cavity() -> None:
    points = septum_points(border())
    assert points.shape == (62, 2)
    assert points[0, 1] > points[-1, 1]  # the base is below in an apical view
    np.testing.assert_allclose(points[:, 0], 0.4 - 0.5 * 0.11 * 0.6, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 20.0, -25.0])
def test_line_stands_on_the_septum_and_points_into_the_ventricle(degrees: float) -> None:
    chords = turned(border(), degrees)
    points = septum_points(chords)
    line = scan_line(points, chords)
    start, end = np.array(line.start), np.array(line.end)
    through = start + SEPTUM_SHARE * (end - start)
    np.testing.assert_allclose(through, points[POINT_OF_INTEREST - 1], atol=1e-9)
    tangent = points[19] - points[9]
    assert abs(float((end - start) @ tangent)) < 1e-6
    towards = chords.reshape(-1, 2).mean(0) - through
    assert float((end - start) @ towards) > 0


def test_a_detected_border_that_scatters_hardly_turns_the_line() -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.004, (20, 4))
    line = scan_line(septum_points(border() + noise), border() + noise)
    along = np.array(line.end) - line.start
    assert abs(np.degrees(np.arctan2(along[1], along[0]))) < 4


def test_parallel_lines_have_one_direction_and_climb_to_the_apex() -> None:
    points = septum_points(border())
    lines = [scan_line(points, border(), offset=k) for k in (-5, 0, 5)]
    heights = [line.start[1] for line in lines]
    assert heights[0] > heights[1] > heights[2]
    directions = [np.array(line.end) - line.start for line in lines]
    np.testing.assert_allclose(directions[0], directions[2], atol=1e-9)


def test_pixels_that_are_not_square_do_not_bend_the_right_angle() -> None:
    chords = turned(border(), 30.0)
    squeezed = chords.reshape(-1, 2, 2) / (1.0, 0.8)  # rows 0.8 times as high as columns are wide
    squeezed[..., 1] -= 0.1
    points = septum_points(squeezed.reshape(-1, 4), aspect=0.8)
    line = scan_line(points, squeezed.reshape(-1, 4), aspect=0.8)
    along = (np.array(line.end) - line.start) * (1.0, 0.8)
    tangent = (points[19] - points[9]) * (1.0, 0.8)
    assert abs(float(along @ tangent)) < 1e-6


def moving_wall(
    times_ms: npt.NDArray[np.floating], amplitude: float, peak_ms: float, side: int = 200
) -> npt.NDArray[np.uint8]:
    """A bright vertical wall that dips to the right once, `amplitude` in shares of the side."""
    x = (np.arange(side) + 0.5) / side
    middle = 0.367 + amplitude * np.exp(-0.5 * ((times_ms - peak_ms) / 25.0) ** 2)
    profile = 220 * np.exp(-0.5 * ((x - middle[:, None]) / 0.012) ** 2)
    return np.repeat(profile[:, None].astype(np.uint8), side, axis=1)


def test_strip_recovers_amplitude_and_timing_of_a_moving_wall() -> None:
    times = np.arange(80) * 16.0
    cycle = HeartCycle(100.0, 1000.0)
    line = scan_line(septum_points(border()), border())
    strip = draw_strip(moving_wall(times, 0.03, 190.0), times, line, cycle)
    assert strip.shape == (STRIP_SIDE, STRIP_SIDE) and strip.dtype == np.uint8
    weight = strip.astype(np.float64) ** 2
    rows = (weight * np.arange(STRIP_SIDE)[:, None]).sum(0) / weight.sum(0)
    length = np.linalg.norm(np.array(line.end) - line.start)
    depth = (rows - rows[-1]) / STRIP_SIDE * length
    assert depth.max() == pytest.approx(0.03, abs=0.002)
    peak_ms = 100.0 + (int(depth.argmax()) + 0.5) / STRIP_SIDE * 900.0
    assert peak_ms == pytest.approx(190.0, abs=8.0)
    assert rows[-1] / STRIP_SIDE == pytest.approx(SEPTUM_SHARE, abs=0.02)


def test_cropped_is_the_upper_half_and_the_first_half() -> None:
    strip = np.zeros((STRIP_SIDE, STRIP_SIDE), np.uint8)
    strip[: STRIP_SIDE // 2, : STRIP_SIDE // 2] = 200
    assert (network_input(strip, "cropped") == 200).all()
    whole = network_input(strip, "whole")
    assert whole.shape == (INPUT_SIDE, INPUT_SIDE)
    assert whole.mean() == pytest.approx(50.0, abs=2.0)


def test_expected_place_holds_the_flash() -> None:
    line, cycle = scan_line(septum_points(border()), border()), HeartCycle(0.0, 900.0)
    whole, cropped = (expected_place(line, cycle, v) for v in ("whole", "cropped"))
    row = int(SEPTUM_SHARE * INPUT_SIDE)
    assert whole[row, int(90 / 900 * INPUT_SIDE)]
    assert not whole[row, int(400 / 900 * INPUT_SIDE)]
    assert not whole[int(0.8 * INPUT_SIDE), 10]
    assert cropped.mean() == pytest.approx(4 * whole.mean(), rel=0.05)


def test_contrast_tells_a_septum_that_is_seen_from_one_that_is_not() -> None:
    times = np.arange(80) * 16.0
    line = scan_line(septum_points(border()), border())
    strip = draw_strip(moving_wall(times, 0.03, 190.0), times, line, HeartCycle(100.0, 1000.0))
    seen = network_input(strip, "cropped")
    assert septum_contrast(seen, line) > 100
    assert septum_contrast(seen // 20, line) < 12
    assert septum_contrast(np.full_like(seen, 90), line) == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("missed", [-0.05, 0.0, 0.04])
def test_septum_is_measured_where_the_line_misses_it(missed: float) -> None:
    line = scan_line(septum_points(border()), border())
    rows = (np.arange(STRIP_SIDE) + 0.5) / STRIP_SIDE
    wall = 30 + 150 * np.exp(-0.5 * ((rows - SEPTUM_SHARE - missed) / 0.03) ** 2)
    strip = np.repeat(wall[:, None].astype(np.uint8), STRIP_SIDE, axis=1)
    assert measured_septum(strip, line) == pytest.approx(SEPTUM_SHARE + missed, abs=0.01)
    assert measured_septum(np.zeros_like(strip), line) == SEPTUM_SHARE


def test_cycle_is_the_most_usual_one_with_enough_frames() -> None:
    times = np.arange(200) * 20.0
    assert choose_cycle((100, 900, 1700, 2900), times) == HeartCycle(100, 900)
    # the first is too short for 30 frames
    assert choose_cycle((0, 500, 1500), times) == HeartCycle(500, 1500)


@pytest.mark.parametrize(
    ("peaks", "reason"),
    [((), "no whole heart cycle"), ((500.0,), "no whole"), ((500.0, 9000.0), "no whole"),
     ((0.0, 500.0, 1000.0), "25 frames; 30 are needed")],
)  # fmt: skip
def test_without_a_cycle_there_is_a_reason(peaks: tuple[float, ...], reason: str) -> None:
    with pytest.raises(NoHeartCycleError, match=reason):
        choose_cycle(peaks, np.arange(100) * 20.0)
