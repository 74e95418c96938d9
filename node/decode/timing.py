"""Times of frames and heart beats, read from the object and never assumed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from node.decode.attributes import integer, number, numbers

_LONGEST_FRAME_MS = 10_000.0

Times = npt.NDArray[np.float64]


def frame_times(ds: Dataset, frames: int) -> tuple[Times | None, str]:
    """Read the time of each frame since the first (PS3.3 C.7.6.5 and C.7.6.3).

    FrameTimeVector where FrameIncrementPointer names it, then FrameTime, FrameTimeVector,
    ActualFrameDuration, CineRate; RecommendedDisplayFrameRate comes last, because it says how
    fast to show the frames and only by custom how fast they were taken.

    Parameters
    ----------
    ds
        The header of a multi-frame instance.
    frames
        How many frames it has.

    Returns
    -------
    float64 in ms, ``(frames,)``, and where they come from; None and a reason for people.
    """
    pointers = {int(pointer) for pointer in numbers(ds, "FrameIncrementPointer")}
    if 0x00181065 in pointers:
        times = _from_vector(ds, frames)
        if times is not None:
            return times, "FrameTimeVector"
    for keyword in ("FrameTime", "FrameTimeVector", "ActualFrameDuration"):
        if keyword == "FrameTimeVector":
            times = _from_vector(ds, frames)
        else:
            times = _regular(number(ds, keyword), frames)
        if times is not None:
            return times, keyword
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate_hz = number(ds, keyword)
        times = _regular(1000.0 / rate_hz if rate_hz and rate_hz > 0 else None, frames)
        if times is not None:
            return times, keyword
    return None, "no frame time"


def r_wave_times_ms(ds: Dataset) -> tuple[float, ...]:
    """Read RWaveTimeVector: R peaks in ms since the first frame, in order."""
    times = numbers(ds, "RWaveTimeVector")
    rising = all(a < b for a, b in pairwise(times))
    return times if rising else ()


def heart_rate_bpm(ds: Dataset) -> float | None:
    """Read HeartRate; None when it is absent, zero or beyond what a heart does."""
    rate = integer(ds, "HeartRate")
    return float(rate) if rate is not None and 10 <= rate <= 400 else None


def _regular(step_ms: float | None, frames: int) -> Times | None:
    if step_ms is None or not 0.0 < step_ms <= _LONGEST_FRAME_MS:
        return None
    return np.arange(frames, dtype=np.float64) * step_ms


def _from_vector(ds: Dataset, frames: int) -> Times | None:
    steps = np.asarray(numbers(ds, "FrameTimeVector"), dtype=np.float64)
    if len(steps) == frames - 1:  # the first frame's increment was left out
        steps = np.concatenate([[0.0], steps])
    if len(steps) != frames or frames < 2:
        return None
    if steps[1:].min() <= 0.0 or steps.max() > _LONGEST_FRAME_MS:
        return None
    # The first increment shall be 0 (PS3.3 C.7.6.5.1.2); not all writers know.
    return np.asarray(np.cumsum(steps) - steps[0], dtype=np.float64)
