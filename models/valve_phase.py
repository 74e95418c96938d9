"""Frames with the aortic valve shut or open: by the R peaks, or by the valve's look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Late part of the cycle from one R peak to the next in which the aortic valve is surely shut:
#: after the T wave and before the next ventricle's contraction.
_SHUT = (0.6, 0.98)
#: Part of the cycle in which it is open. The pre-ejection period ends about 60 ms after the R peak
#: and ejection lasts 413 ms less 1.7 ms per beat a minute (Weissler, Circulation 1968): from 0.05
#: to 0.32 of a cycle at 50 beats per minute, from 0.09 to 0.48 at 90. Less at both ends, where the
#: cusps still move.
EJECTION = (0.10, 0.32)
#: The middle of the valve, where its closed cusps meet: a disc of this share of the box's sides.
_MIDDLE = 0.35
#: A beat is at least this long, so that two marks of one R peak are not taken for a cycle.
_LEAST_BEAT_MS = 300.0
_SMOOTHING_FRAMES = 3


def ejecting_by_r_peaks(
    times_ms: Floats, r_peaks_ms: Sequence[float], heart_rate_bpm: float | None = None
) -> npt.NDArray[np.int64]:
    """Positions of the frames with the aortic valve open.

    Parameters and result are those of :func:`diastolic_by_r_peaks`.
    """
    return _within(EJECTION, times_ms, r_peaks_ms, heart_rate_bpm)


def diastolic_by_r_peaks(
    times_ms: Floats, r_peaks_ms: Sequence[float], heart_rate_bpm: float | None = None
) -> npt.NDArray[np.int64]:
    """Positions of the frames late in a heart cycle.

    Parameters
    ----------
    times_ms
        Time of each frame since the first.
    r_peaks_ms
        R peaks on the same clock.
    heart_rate_bpm
        Says how long a cycle is where there is only one R peak.

    Returns
    -------
    Increasing; empty when the R peaks don't tell, or no frame lies in that phase.
    """
    return _within(_SHUT, times_ms, r_peaks_ms, heart_rate_bpm)


def _within(
    part: tuple[float, float],
    times_ms: Floats,
    r_peaks_ms: Sequence[float],
    heart_rate_bpm: float | None,
) -> npt.NDArray[np.int64]:
    """Positions of the frames in one part of the heart cycle; none where it is not known."""
    peaks = np.sort(np.asarray(r_peaks_ms, np.float64))
    apart = np.diff(peaks)
    beats = apart[apart >= _LEAST_BEAT_MS]
    if len(beats):
        period = float(np.median(beats))
    elif len(peaks) and heart_rate_bpm:
        period = 60_000.0 / heart_rate_bpm
    else:
        return np.empty(0, np.int64)
    before = np.searchsorted(peaks, times_ms, side="right") - 1
    # Before the first peak and after the last the cycle goes on with the median beat.
    last = peaks[np.clip(before, 0, len(peaks) - 1)]
    following = peaks[np.clip(before + 1, 0, len(peaks) - 1)]
    own = np.where((before >= 0) & (before + 1 < len(peaks)), following - last, period)
    phase = (times_ms - last) / np.maximum(own, 1.0)
    phase = np.where(before < 0, phase % 1.0, phase)
    return np.flatnonzero((phase >= part[0]) & (phase <= part[1]))


def diastolic_by_valve(
    frames: npt.NDArray[np.uint8], box: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.int64]:
    """Positions of the frames in which the valve looks shut [reconstruction].

    Closed cusps meet in the middle of the valve and make it bright, relative to the whole valve;
    open ones leave dark blood there. A valve is shut for about two thirds of a cycle, so the
    brighter half of the frames is taken.

    Parameters
    ----------
    frames
        Grey, ``(frames, rows, columns)``.
    box
        The valve in any frame, x0, y0, x1, y1 in pixels; it hardly moves.

    Returns
    -------
    Increasing, half of the frames; all of a clip too short to show an opening.
    """
    if len(frames) < 2 * _SMOOTHING_FRAMES:
        return np.arange(len(frames))
    rows, columns = frames.shape[1:]
    x0, y0, x1, y1 = np.clip(np.round(box).astype(int), 0, [columns, rows, columns, rows])
    cut = frames[:, y0:y1, x0:x1]
    middle = np.zeros(cut.shape[1:], np.uint8)
    centre = ((x1 - x0) // 2, (y1 - y0) // 2)
    reach = (max(1, round(_MIDDLE * centre[0])), max(1, round(_MIDDLE * centre[1])))
    cv2.ellipse(middle, (int(centre[0]), int(centre[1])), reach, 0, 0, 360, 1, -1)
    if not middle.any():
        return np.arange(len(frames))
    level = cut[:, middle > 0].mean(1) - cut.reshape(len(frames), -1).mean(1)
    padded = np.pad(level, _SMOOTHING_FRAMES // 2, mode="edge")
    smooth = np.convolve(padded, np.ones(_SMOOTHING_FRAMES) / _SMOOTHING_FRAMES, mode="valid")
    return np.sort(np.argsort(-smooth, kind="stable")[: (len(frames) + 1) // 2])
