"""R peaks from the vector of the object, and from traces as machines draw them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg

from models.inputs import Box, Clip
from models.r_peaks import FROM_TRACE, FROM_VECTOR, find_r_peaks

Frames = npt.NDArray[np.uint8]
ROWS, COLUMNS, LEFT, TOP = 160, 320, 20, 120
STRIP = Box(LEFT, TOP, 300, 156)
GREEN = (60, 220, 90)
STEP_MS = 25.0
R_MS = (310.0, 1130.0, 1920.0)


def ecg(ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """R, S and T waves of heights 1, -0.2 and 0.3."""
    out = np.zeros_like(ms)
    for peak in R_MS:
        for delay, width, height in ((0, 12, 1.0), (30, 12, -0.2), (300, 55, 0.3)):
            out += height * np.exp(-(((ms - peak - delay) / width) ** 2))
    return out


def screen(count: int) -> Frames:
    """Speckle that moves above, and a text that stays, beside the trace."""
    frames = np.zeros((count, ROWS, COLUMNS, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 220, (count, 100, 200, 1))
    frames[:, 5:105, 60:260] = noise.astype(np.uint8)
    for frame in frames:
        cv2.putText(frame, "73 bpm", (270, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.35, GREEN, 1)
    return frames


def draw(frame: Frames, ms: npt.NDArray[np.float64], columns: npt.NDArray[np.int_]) -> None:
    y = np.round(150 - 26 * ecg(ms)).astype(np.int32)
    for part in np.split(np.arange(len(columns)), np.flatnonzero(np.diff(columns) < 0) + 1):
        line = np.stack([columns[part], y[part]], axis=1).astype(np.int32)
        cv2.polylines(frame, [line], False, GREEN, 1, cv2.LINE_AA)


def growing(count: int = 90) -> Frames:
    frames = screen(count)
    columns = np.arange(LEFT, 300)
    ms = (columns - LEFT) / len(columns) * count * STEP_MS
    for number, frame in enumerate(frames):
        shown = ms <= number * STEP_MS
        draw(frame, ms[shown], columns[shown])
    return frames


def sweeping(count: int = 90) -> Frames:
    """The pen starts in the middle, wraps, and wipes a gap before it."""
    frames = screen(count)
    speed, first = 0.16, 130.0
    for number, frame in enumerate(frames):
        now = number * STEP_MS
        place = np.arange(first + speed * now - 250, first + speed * now)  # older is wiped
        draw(frame, (place - first) / speed, LEFT + place.astype(int) % 280)
    return frames


def with_marker(count: int = 90) -> Frames:
    """The whole trace stands from the first frame on; a marker moves along it."""
    frames = screen(count)
    columns = np.arange(LEFT, 300)
    ms = (columns - LEFT) / len(columns) * count * STEP_MS
    for number, frame in enumerate(frames):
        draw(frame, ms, columns)
        x = LEFT + round(number / count * len(columns))
        cv2.line(frame, (x, TOP), (x, 154), (200, 200, 200), 1)
    return frames


def clip(colour: Frames, **more: object) -> Clip:
    coded = [simplejpeg.encode_jpeg(f, quality=85, colorspace="RGB") for f in colour]
    seen = np.stack([simplejpeg.decode_jpeg(c) for c in coded])
    times = np.arange(len(seen)) * STEP_MS
    return Clip(seen.max(3), seen, times, **more)  # type: ignore[arg-type]


def test_the_vector_of_the_object_comes_first() -> None:
    found = find_r_peaks(clip(screen(20), r_wave_times_ms=(10.0, 400.0)))
    assert found is not None
    assert (found.times_ms, found.source) == ((10.0, 400.0), FROM_VECTOR)


@pytest.mark.parametrize("drawn", [growing, sweeping, with_marker])
@pytest.mark.parametrize("declared", [True, False])
def test_trace_in_the_image(drawn: object, declared: bool) -> None:
    frames = drawn()  # type: ignore[operator]
    found = find_r_peaks(clip(frames, ecg_strip=STRIP if declared else None))
    assert found is not None
    assert found.source == FROM_TRACE
    assert len(found.times_ms) == len(R_MS)
    np.testing.assert_allclose(found.times_ms, R_MS, atol=STEP_MS)


def test_one_beat_in_the_vector_is_not_enough_without_a_trace() -> None:
    assert find_r_peaks(clip(screen(40), r_wave_times_ms=(400.0,))) is None


@pytest.mark.parametrize("strip", [STRIP, None])
def test_no_trace_no_peaks(strip: Box | None) -> None:
    assert find_r_peaks(clip(screen(40), ecg_strip=strip)) is None


def test_a_flat_trace_has_no_peaks() -> None:
    frames = screen(60)
    for number, frame in enumerate(frames):
        cv2.line(frame, (LEFT, 140), (LEFT + 4 * number, 140), GREEN, 1)
    assert find_r_peaks(clip(frames, ecg_strip=STRIP)) is None
