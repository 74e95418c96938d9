"""R peaks of a cine: from its vector of times, else from the ECG trace drawn in its frames.

Echo machines draw the trace with a pen that moves at a constant speed: over an empty strip, over
the last sweep, or as a marker along a finished trace. The pen's column in every frame gives the
time of each column; the height of the trace there gives the ECG. A trace that scrolls as a whole is
not read.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Box, Clip

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FROM_VECTOR = "RWaveTimeVector"
FROM_TRACE = "ECG trace in the image"

_COLOURED, _BRIGHT = 60, 120  # difference of the channels, and grey, from which a pixel is lit
_LEAST_WIDTH = 0.25  # of the image, for a trace that is searched for
_SEARCHED_FRAMES = 16
_LEAST_HEIGHT = 6.0  # pixels, of an R wave
_REFRACTORY_MS = 260.0
_NEAR_MS = 70.0  # an R peak is that near to the steepest part of its QRS
_STEEP = 0.35  # of the steepest QRS


@dataclass(frozen=True, slots=True)
class RPeaks:
    """When the R peaks are.

    Attributes
    ----------
    times_ms
        Since the first frame, increasing, two or more.
    source
        :data:`FROM_VECTOR` or :data:`FROM_TRACE`.
    """

    times_ms: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class _Pen:
    """Column of the pen, counted on over the sweeps: ``start + speed x ms``.

    A sweep goes from the column `left` over `width` columns.
    """

    start: float
    speed: float
    left: float
    width: float

    def columns(self, places: Floats) -> npt.NDArray[np.int_]:
        """Columns of the image of places that count on over the sweeps."""
        return (self.left + (places - self.left) % self.width).astype(int)


def find_r_peaks(clip: Clip) -> RPeaks | None:
    """Find two or more R peaks; None where the clip shows none."""
    if len(clip.r_wave_times_ms) >= 2:
        return RPeaks(tuple(clip.r_wave_times_ms), FROM_VECTOR)
    if len(clip.frames) < 8:
        return None
    box = clip.ecg_strip or _searched(clip.colour)
    if box is None:
        return None
    times = _trace_peaks(_lit(clip.colour[:, box.y0 : box.y1, box.x0 : box.x1]), clip)
    return RPeaks(times, FROM_TRACE) if len(times) >= 2 else None


def _lit(colour: npt.NDArray[np.uint8]) -> Mask:
    """Coloured or bright pixels, ``(frames, rows, columns)``."""
    highest, lowest = colour.max(3), colour.min(3)
    return (highest - lowest >= _COLOURED) | (lowest >= _BRIGHT)


def _searched(colour: npt.NDArray[np.uint8]) -> Box | None:
    """Look for the widest coloured line in the lower half of the image."""
    rows, columns = colour.shape[1:3]
    top = rows // 2
    chosen = np.linspace(0, len(colour) - 1, min(len(colour), _SEARCHED_FRAMES)).astype(int)
    coloured = np.zeros((rows - top, columns), np.bool_)
    for frame in colour[chosen, top:]:
        red, green, blue = cv2.split(frame)
        highest, lowest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
        coloured |= cv2.subtract(highest, lowest) >= _COLOURED
    joined = cv2.dilate(coloured.astype(np.uint8), np.ones((3, 9), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    if count < 2:
        return None
    widest = 1 + int(stats[1:, cv2.CC_STAT_WIDTH].argmax())
    x, y, width, height = (int(v) for v in stats[widest, : cv2.CC_STAT_AREA])
    if width < _LEAST_WIDTH * columns or height < _LEAST_HEIGHT:
        return None
    return Box(x, max(y + top - 2, 0), x + width, min(y + top + height + 2, rows))


def _trace_peaks(lit: Mask, clip: Clip) -> tuple[float, ...]:
    times = clip.frame_times_ms
    pen = _pen(lit, times)
    if pen is None:
        return ()
    still = lit.all(0)
    if (lit & ~still).any((0, 1)).mean() > 0.5:
        lit = lit & ~still  # the trace moves, so that what does not move is text
    first, last = pen.start, pen.start + pen.speed * float(times[-1])
    places = np.arange(np.ceil(max(first, 0.0)), last)
    at_ms = (places - pen.start) / pen.speed
    columns = np.clip(pen.columns(places), 0, lit.shape[2] - 1)
    heights = _heights(lit, times, columns, at_ms)
    return _peaks(heights, at_ms)


def _pen(lit: Mask, times: Floats) -> _Pen | None:
    """Fit the movement of what is newly lit, with jumps back at the end of a sweep."""
    width = lit.shape[2]
    at, when = [], []
    for number in range(1, len(lit)):
        fresh = lit[number] & ~lit[number - 1]
        columns = np.flatnonzero(fresh.any(0))
        if len(columns):
            at.append(float(np.quantile(columns, 0.9)))
            when.append(float(times[number]))
    if len(at) < 0.5 * len(lit):
        return None
    column, ms = np.array(at), np.array(when)
    jumps = np.diff(column)
    back = jumps < -0.3 * width
    left, sweep = 0.0, float(width)
    if back.any():
        ahead = float(np.median(jumps[~back] / np.diff(ms)[~back])) * np.diff(ms)
        sweep = float(np.median((ahead - jumps)[back]))
        left = float(np.median(column[1:][back] - ahead[back] / 2))
    line = column + np.concatenate([[0.0], np.cumsum(back)]) * sweep
    kept = np.ones(len(line), np.bool_)
    for _ in range(3):  # single frames with flicker elsewhere must not bend the line
        speed, start = np.polyfit(ms[kept], line[kept], 1)
        error = np.abs(line - (start + speed * ms))
        kept = error <= max(3.0 * float(np.median(error)), 2.0)
    straight = speed > 0 and kept.mean() > 0.6 and error[kept].max(initial=0.0) < 0.05 * sweep
    moved = speed * float(times[-1]) > 0.1 * sweep
    return _Pen(float(start), float(speed), left, sweep) if straight and moved else None


def _heights(lit: Mask, times: Floats, columns: npt.NDArray[np.int_], at_ms: Floats) -> Floats:
    """How far the trace is above its median, pixels, in the frame after it was drawn."""
    step = float(np.median(np.diff(times)))
    frames = np.clip(np.searchsorted(times, at_ms + 2 * step), 0, len(lit) - 1)
    shown = lit[frames, :, columns]
    known = shown.any(1)
    if known.mean() < 0.5:
        return np.zeros(len(columns))
    rows = np.arange(lit.shape[1])
    middle = float(np.median([rows[column].mean() for column in shown[known]]))
    top = np.where(known, shown.argmax(1), middle)
    bottom = np.where(known, lit.shape[1] - 1 - shown[:, ::-1].argmax(1), middle)
    up, down = middle - top, bottom - middle
    inverted = np.quantile(down, 0.995) > 1.5 * np.quantile(up, 0.995)
    return np.asarray(down if inverted else up, dtype=np.float64)


def _peaks(heights: Floats, at_ms: Floats) -> tuple[float, ...]:
    """QRS complexes by their steepness (as Pan and Tompkins, 1985), each at its highest point."""
    if len(heights) < 16 or np.quantile(heights, 0.995) < _LEAST_HEIGHT:
        return ()
    step = float(at_ms[1] - at_ms[0])
    window = max(3, round(80.0 / step) | 1)
    energy = cv2.blur(np.gradient(heights)[None] ** 2, (window, 1))[0]
    peaks: list[float] = []
    for place in np.argsort(-energy):
        if energy[place] < _STEEP * energy.max():
            break
        near = np.flatnonzero(np.abs(at_ms - at_ms[place]) <= _NEAR_MS)
        highest = near[heights[near] >= heights[near].max() - 0.5]
        time = float(at_ms[highest].mean())
        on_edge = near[0] == 0 or near[-1] == len(heights) - 1
        cut = on_edge and (highest[0] <= 1 or highest[-1] >= len(heights) - 2)
        if not cut and all(abs(time - other) >= _REFRACTORY_MS for other in peaks):
            peaks.append(time)
    return tuple(sorted(peaks))
