"""Virtual M-mode: one line across the septum of an apical four-chamber cine, over one heart cycle.

After "Localizing cardiac dyssynchrony in M-mode echocardiography with attention maps" (FIMH 2023,
section 2.1): 62 mid-myocardial points of the septum at end-diastole, the tangent from points 10
and 20, a line along the normal through the point between them, the same line in every frame,
resampled to 500 x 500, from the right ventricle (top) to the lateral wall (bottom); the cropped
variant keeps the upper half in space and the first half in time.

[reconstruction] Not printed there, and chosen here: the points are counted from the base, the point
of interest is the 15th, and the line ends behind the lateral wall and at such a distance in the
right ventricle that the septum lies at three tenths of the strip, so that the crop never cuts it.
The septum is found from the endocardial border, half a wall outside of it, because no network here
draws its middle.

Points are (x, y) as fractions of a square window; rows of pixels grow with y.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Times = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]
Variant = Literal["cropped", "whole"]

SEPTUM_POINTS = 62
TANGENT_POINTS = (10, 20)  # counted from 1 at the base
POINT_OF_INTEREST = 15
#: Points above and below the point of interest whose lines enlarge the training set elevenfold.
OFFSETS = tuple(range(-5, 6))
STRIP_SIDE = 500
INPUT_SIDE = 256
#: Side to which the window is brought before the line is sampled; the paper's frames have 500
#: pixels, but with finer ones than the training cohort's the texture would be another.
FRAME_SIDE = 224
LEAST_FRAMES = 30  # of a heart cycle; the paper's have 30 to 150

# [reconstruction] from mitral plane (1) to apex (0): where the septum's first and last point lie
_SEPTUM_SPAN = (0.9, 0.1)
#: [reconstruction] Wall thickness as a share of the ventricle's length: 10 mm of 9 cm.
WALL_SHARE = 0.11
#: [reconstruction] Where the septum lies in a strip, and how many wall thicknesses behind the
#: lateral border the strip ends.
SEPTUM_SHARE, _BEHIND_WALLS = 0.3, 1.3
#: [reconstruction] Half height of the septal band about its point, in wall thicknesses: the wall
#: itself and what a flash and the contraction move it.
_BAND_WALLS = 1.1
_LATE_DIASTOLE, _SEARCHED_BANDS = 0.93, 2.5  # share of the cycle; how far around, in half bands
#: [reconstruction] Early systole after the R peak: from mitral closure to aortic opening, which
#: B-mode does not show; in a left bundle branch block the aortic valve opens up to 180 ms late.
EARLY_SYSTOLE_MS = (0.0, 180.0)


class NoHeartCycleError(ValueError):
    """The clip holds no whole heart cycle with enough frames; the words are for people."""


@dataclass(frozen=True, slots=True)
class HeartCycle:
    """One cycle from R peak to R peak, ms since the first frame."""

    start_ms: float
    end_ms: float

    @property
    def duration_ms(self) -> float:
        """The R-R interval."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class ScanLine:
    """The line of an M-mode, fixed at end-diastole.

    Attributes
    ----------
    start, end
        Its ends: in the right ventricle (the strip's top) and behind the lateral wall. They may lie
        outside of the window.
    band
        Half height of the septal band about :data:`SEPTUM_SHARE`, as a share of the line.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    band: float


def choose_cycle(
    r_peaks_ms: npt.ArrayLike, frame_times_ms: Times, least_frames: int = LEAST_FRAMES
) -> HeartCycle:
    """Take the cycle whose R-R interval is nearest to the median of all; the first of equals.

    Parameters
    ----------
    r_peaks_ms
        Increasing, ms since the first frame.
    frame_times_ms
        ``(frames,)``.
    least_frames
        Frames that the cycle must have.

    Raises
    ------
    NoHeartCycleError
        No two R peaks lie inside the clip, or too few frames between them.
    """
    peaks = np.asarray(r_peaks_ms, np.float64)
    step = float(np.median(np.diff(frame_times_ms))) if len(frame_times_ms) > 1 else 0.0
    inside = (peaks >= frame_times_ms[0] - step / 2) & (peaks <= frame_times_ms[-1] + step)
    peaks = peaks[inside]
    if len(peaks) < 2:
        raise NoHeartCycleError("no whole heart cycle from R peak to R peak lies in the clip")
    intervals = np.diff(peaks)
    counts = [
        int(((frame_times_ms >= a - 1e-6) & (frame_times_ms < b - 1e-6)).sum())
        for a, b in pairwise(peaks)
    ]
    enough = [k for k, count in enumerate(counts) if count >= least_frames]
    if not enough:
        raise NoHeartCycleError(
            f"the longest heart cycle has {max(counts)} frames; {least_frames} are needed"
        )
    median = float(np.median(intervals))
    best = min(enough, key=lambda k: abs(intervals[k] - median))
    return HeartCycle(float(peaks[best]), float(peaks[best + 1]))


def septum_points(border: npt.NDArray[np.floating], aspect: float = 1.0) -> Points:
    """Place the septum's mid-myocardial points from the endocardial border at end-diastole.

    Parameters
    ----------
    border
        ``(20, 4)``: chords from apex to base; x1, y1 is their septal end.
    aspect
        Height of a pixel relative to its width.

    Returns
    -------
    ``(62, 2)``, from the base to the apex.
    """
    isotropic = np.asarray(border, np.float64).reshape(-1, 2, 2) * (1.0, aspect)
    u = (np.arange(len(isotropic)) + 0.5) / len(isotropic)
    # a cubic over the septum's part: detected chords scatter, the septum is smooth
    part = u >= _SEPTUM_SPAN[1] - 0.05
    wanted = np.linspace(*_SEPTUM_SPAN, SEPTUM_POINTS)
    fits = [np.polynomial.Polynomial.fit(u[part], isotropic[part, 0, k], 3) for k in (0, 1)]
    points = np.stack([fit(wanted) for fit in fits], axis=1)
    along = np.stack([fit.deriv()(wanted) for fit in fits], axis=1)
    outwards = _normal(along, points - _centre(isotropic))
    shifted = points + 0.5 * WALL_SHARE * _length(isotropic) * outwards
    return np.asarray(shifted / (1.0, aspect))


def scan_line(
    points: Points, border: npt.NDArray[np.floating], aspect: float = 1.0, offset: int = 0
) -> ScanLine:
    """Lay the line through the septum's point of interest, along the normal into the ventricle.

    Parameters
    ----------
    points
        From :func:`septum_points`.
    border, aspect
        As given to :func:`septum_points`; the border says where the ventricle is and how long.
    offset
        Points towards the apex, -5 to 5, of the parallel lines of the training set.
    """
    isotropic = points * (1.0, aspect)
    chords = np.asarray(border, np.float64).reshape(-1, 2, 2) * (1.0, aspect)
    first, second = (isotropic[k - 1] for k in TANGENT_POINTS)
    middle = isotropic[POINT_OF_INTEREST - 1]
    inwards = _normal((second - first)[None], (_centre(chords) - middle)[None])[0]
    through = isotropic[POINT_OF_INTEREST - 1 + offset]
    wall = WALL_SHARE * _length(chords)
    high = _reach(middle, inwards, chords) + _BEHIND_WALLS * wall
    low = -SEPTUM_SHARE / (1.0 - SEPTUM_SHARE) * high
    ends = (through + np.outer([low, high], inwards)) / (1.0, aspect)
    return ScanLine(
        (float(ends[0, 0]), float(ends[0, 1])),
        (float(ends[1, 0]), float(ends[1, 1])),
        float(_BAND_WALLS * wall / (high - low)),
    )


def draw_strip(
    frames: npt.NDArray[np.uint8], frame_times_ms: Times, line: ScanLine, cycle: HeartCycle
) -> Image:
    """Sample the line in every frame, and resample in time.

    Parameters
    ----------
    frames
        ``(frames, side, side)``: the square window, at :data:`FRAME_SIDE` as a rule.
    frame_times_ms
        ``(frames,)``.
    line, cycle
        What is shown.

    Returns
    -------
    ``(500, 500)``: rows from the right ventricle to the lateral wall, columns from R to R; both
    interpolated linearly.
    """
    side = frames.shape[1]
    share = (np.arange(STRIP_SIDE) + 0.5) / STRIP_SIDE
    start, end = np.array(line.start), np.array(line.end)
    at = ((start + share[:, None] * (end - start)) * side - 0.5).astype(np.float32)[:, None]
    wanted = cycle.start_ms + share * cycle.duration_ms
    where = np.interp(wanted, frame_times_ms, np.arange(len(frames)))
    first, last = int(where.min()), min(int(where.max()) + 1, len(frames) - 1)
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    columns = np.concatenate(
        [cv2.remap(frame, x, y, cv2.INTER_LINEAR) for frame in frames[first : last + 1]], axis=1
    ).astype(np.float32)
    lower = np.minimum(where.astype(int) - first, columns.shape[1] - 1)
    upper = np.minimum(lower + 1, columns.shape[1] - 1)
    part = (where - first - lower).astype(np.float32)
    mixed = columns[:, lower] * (1 - part) + columns[:, upper] * part
    return np.asarray(np.round(mixed), dtype=np.uint8)


def network_input(strip: Image, variant: Variant, side: int = INPUT_SIDE) -> Image:
    """Cut the variant out of a strip ``(500, 500)`` and bring it to ``(side, side)``."""
    half = STRIP_SIDE // 2
    part = strip[:half, :half] if variant == "cropped" else strip
    shrinks = part.shape[0] > side
    return np.asarray(
        cv2.resize(
            part, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    )


def measured_septum(whole: Image, line: ScanLine) -> float:
    """Where the septum lies in a strip at the end of diastole, as a share of the line.

    The line is laid by a detected border, which may miss the septum by some millimetres; the
    brightest band near to where it should be tells. [reconstruction]

    Parameters
    ----------
    whole
        The strip or its whole variant, ``(rows, columns)``.
    line
        Its line.
    """
    rows, columns = whole.shape
    late = whole[:, int(_LATE_DIASTOLE * columns) :].mean(1)
    share = (np.arange(rows) + 0.5) / rows
    near = np.abs(share - SEPTUM_SHARE) <= _SEARCHED_BANDS * line.band
    weight = np.clip(late[near] - np.quantile(late[near], 0.4), 0.0, None) ** 2
    if weight.sum() < 1.0:
        return SEPTUM_SHARE
    return float((weight * share[near]).sum() / weight.sum())


def expected_place(
    line: ScanLine,
    cycle: HeartCycle,
    variant: Variant,
    side: int = INPUT_SIDE,
    septum: float = SEPTUM_SHARE,
) -> npt.NDArray[np.bool_]:
    """Mark septum x early systole in a network's input, ``(side, side)``: where a flash is.

    Parameters
    ----------
    septum
        From :func:`measured_septum`.
    """
    zoom = 2.0 if variant == "cropped" else 1.0
    share = (np.arange(side) + 0.5) / side / zoom
    rows = np.abs(share - septum) <= line.band
    ms = share * cycle.duration_ms
    columns = (ms >= EARLY_SYSTOLE_MS[0]) & (ms <= EARLY_SYSTOLE_MS[1])
    return np.asarray(rows[:, None] & columns[None, :])


def septum_contrast(cropped: Image, line: ScanLine) -> float:
    """How well the septum stands out in the cropped variant ``(side, side)``, grey levels.

    Median over the columns of the difference between the brightest and the darkest place of the
    septal band, each the mean of five by five pixels.
    """
    side = cropped.shape[0]
    reach = 1.5 * line.band
    top, bottom = (round(2 * (SEPTUM_SHARE + sign * reach) * side) for sign in (-1, 1))
    band = cv2.blur(cropped[max(top, 0) : bottom].astype(np.float32), (5, 5))
    return float(np.median(band.max(0) - band.min(0)))


def _centre(chords: Points) -> Points:
    return np.asarray(chords.mean((0, 1)))


def _length(chords: Points) -> float:
    """Long axis: the way along the chords' middles, half a step longer at either end."""
    middles = chords.mean(1)
    steps = np.linalg.norm(np.diff(middles, axis=0), axis=1).sum()
    return float(steps * len(chords) / (len(chords) - 1))


def _normal(along: Points, towards: Points) -> Points:
    """Unit normals of directions ``(N, 2)``, on the side of `towards` ``(N, 2)``."""
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    sign = np.where((across * towards).sum(1, keepdims=True) < 0, -1.0, 1.0)
    return np.asarray(across * sign)


def _reach(middle: Points, inwards: Points, chords: Points) -> float:
    """How far the lateral border is from the septum along the normal."""
    lateral = chords[:, 1] - middle
    beside = lateral @ np.array([-inwards[1], inwards[0]])
    ahead = lateral @ inwards
    order = np.argsort(beside)
    return float(max(np.interp(0.0, beside[order], ahead[order]), WALL_SHARE * _length(chords)))
