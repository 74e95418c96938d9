"""Time in the heart: R peaks, how far the ventricle has contracted, how open the valves are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from train.phantom.conduction import Conduction

#: In a left bundle branch block the ventricle as a whole begins to contract this much later.
_BLOCK_DELAY_MS = 45.0
#: Spread of the R-R intervals of atrial fibrillation, relative to their mean, and their limits.
_IRREGULARITY, _RR_SHARES = 0.18, (0.65, 1.5)


@dataclass(frozen=True, slots=True)
class Cycle:
    """The state of the heart at the frames of one clip.

    Attributes
    ----------
    times_ms
        Time of each frame since the first, ``(frames,)``.
    phase
        Position in the heart cycle, 0 (R peak) to 1, ``(frames,)``.
    ms_since_r, ms_to_r
        Time since the last R peak, and until the next one, ``(frames,)``.
    contraction
        0 end-diastole to 1 end-systole, ``(frames,)``.
    mitral_opening, aortic_opening
        0 closed to 1 open, ``(frames,)``.
    r_peaks_ms
        R peaks that fall into the clip.
    """

    times_ms: np.ndarray
    phase: np.ndarray
    ms_since_r: np.ndarray
    ms_to_r: np.ndarray
    contraction: np.ndarray
    mitral_opening: np.ndarray
    aortic_opening: np.ndarray
    r_peaks_ms: tuple[float, ...]


def _ease(x: np.ndarray, knots: list[tuple[float, float]]) -> np.ndarray:
    """Piecewise smooth-step through knots: flat tangents at each, no overshoot."""
    out = np.full_like(x, knots[0][1])
    for (x0, y0), (x1, y1) in pairwise(knots):
        share = np.clip((x - x0) / (x1 - x0), 0.0, 1.0)
        out = np.where(x >= x0, y0 + (y1 - y0) * share * share * (3.0 - 2.0 * share), out)
    return out


def systole_share(heart_rate_bpm: float) -> float:
    """Share of the cycle until end-systole; it grows with the rate (diastole shortens first)."""
    return float(0.36 * (heart_rate_bpm / 70.0) ** 0.35)


def draw_cycle(
    frames: int,
    frame_time_ms: float,
    heart_rate_bpm: float,
    rng: np.random.Generator,
    conduction: Conduction | None = None,
) -> Cycle:
    """Heart phases at equally spaced frames, starting anywhere in the cycle.

    Parameters
    ----------
    frames, frame_time_ms
        Length and spacing of the clip.
    heart_rate_bpm
        Constant over the clip in sinus rhythm, the mean in atrial fibrillation.
    rng
        Draws the phase of the first frame and the shape of diastole.
    conduction
        Rhythm and block; sinus rhythm without a block when None.
    """
    times = np.arange(frames) * frame_time_ms
    period = 60_000.0 / heart_rate_bpm
    start = rng.uniform(0.0, 1.0)
    early = rng.uniform(0.15, 0.4)
    fibrillates = conduction is not None and conduction.rhythm == "atrial_fibrillation"
    end = times[-1] + frame_time_ms
    beats = int(np.ceil(end / period / _RR_SHARES[0])) + 2
    intervals = np.full(beats, period)
    if fibrillates:
        shares = rng.normal(1.0, _IRREGULARITY, beats)
        intervals = period * np.clip(shares, *_RR_SHARES)
    peaks = np.concatenate([[0.0], np.cumsum(intervals)]) - start * intervals[0]
    beat = np.clip(np.searchsorted(peaks, times, side="right") - 1, 0, beats - 1)
    since = times - peaks[beat]
    delay_ms = _BLOCK_DELAY_MS if conduction is not None and conduction.lbbb else 0.0
    curves = np.zeros((3, frames))
    for number in np.unique(beat):
        own, interval = beat == number, intervals[number]
        curves[:, own] = _curves(
            since[own] / interval,
            systole_share(60_000.0 / interval),
            early,
            delay_ms / interval,
            atrium=not fibrillates,
        )
    return Cycle(
        times,
        since / intervals[beat],
        since,
        intervals[beat] - since,
        curves[0],
        curves[1],
        curves[2],
        tuple(float(p) for p in peaks if 0 <= p < end),
    )


def _curves(
    phase: np.ndarray, es: float, early: float, delay: float, *, atrium: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contraction, mitral and aortic opening over the phase of one beat.

    Parameters
    ----------
    phase
        0 at the R peak to 1.
    es, early, delay
        End-systole, contraction that is left after early filling, and the late begin of a block,
        as shares of the beat.
    atrium
        Whether the atrium contracts.
    """
    rest = 1.0 - es
    contraction = _ease(
        phase,
        [
            (0.0, 0.0),
            (0.03 + delay, 0.0),
            (es, 1.0),
            (es + 0.06 * rest, 0.97),
            (es + 0.42 * rest, early),
            (es + 0.72 * rest, early * 0.75),
            (0.99, 0.0),
        ],
    )
    mitral = _ease(
        phase,
        [
            (0.0, 0.0),
            (es + 0.08 * rest, 0.0),
            (es + 0.22 * rest, 1.0),
            (es + 0.5 * rest, 0.35),
            (es + 0.72 * rest, 0.3),
            (0.93, 0.75 if atrium else 0.3),
            (1.0, 0.0),
        ],
    )
    opening = [(0.0, 0.0), (0.04 + delay, 0.0), (0.1 + delay, 1.0), (es * 0.8, 0.9), (es, 0.0)]
    return contraction, mitral, _ease(phase, opening)
