"""Time in the heart: R peaks, how far the ventricle has contracted, how open the valves are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, slots=True)
class Cycle:
    """The state of the heart at the frames of one clip.

    Attributes
    ----------
    times_ms
        Time of each frame since the first, ``(frames,)``.
    phase
        Position in the heart cycle, 0 (R peak) to 1, ``(frames,)``.
    contraction
        0 end-diastole to 1 end-systole, ``(frames,)``.
    mitral_opening, aortic_opening
        0 closed to 1 open, ``(frames,)``.
    r_peaks_ms
        R peaks that fall into the clip.
    """

    times_ms: np.ndarray
    phase: np.ndarray
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
    frames: int, frame_time_ms: float, heart_rate_bpm: float, rng: np.random.Generator
) -> Cycle:
    """Heart phases at equally spaced frames, starting anywhere in the cycle.

    Parameters
    ----------
    frames, frame_time_ms
        Length and spacing of the clip.
    heart_rate_bpm
        Constant over the clip.
    rng
        Draws the phase of the first frame and the shape of diastole.
    """
    times = np.arange(frames) * frame_time_ms
    period = 60_000.0 / heart_rate_bpm
    start = rng.uniform(0.0, 1.0)
    position = start + times / period
    phase = position % 1.0
    es = systole_share(heart_rate_bpm)
    rest = 1.0 - es
    early = rng.uniform(0.15, 0.4)
    contraction = _ease(
        phase,
        [
            (0.0, 0.0),
            (0.03, 0.0),
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
            (0.93, 0.75),
            (1.0, 0.0),
        ],
    )
    aortic = _ease(phase, [(0.0, 0.0), (0.04, 0.0), (0.1, 1.0), (es * 0.8, 0.9), (es, 0.0)])
    first = int(np.ceil(start - 1e-9))
    peaks = [(k - start) * period for k in range(first, first + frames + 2)]
    end = times[-1] + frame_time_ms
    return Cycle(
        times, phase, contraction, mitral, aortic, tuple(float(p) for p in peaks if 0 <= p < end)
    )
