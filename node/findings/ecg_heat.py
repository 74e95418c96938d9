"""The heat of an ECG's windows on its time line, and where it is highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import LEADS, RATE_HZ
from models.inputs import Box
from node.findings.ecg_picture import place

#: The first ten seconds are on the first page of the picture.
PAGE_SAMPLES = round(10 * RATE_HZ)
_SALIENT = 0.5  # of the highest heat
_RHYTHM = LEADS.index("II")


def merged(
    heat: npt.NDArray[np.floating[Any]], starts: Sequence[int], samples: int
) -> npt.NDArray[np.float32]:
    """Average the heat of windows that overlap, and stretch it to 0 to 1.

    Parameters
    ----------
    heat
        ``(windows, 12, 1000)``.
    starts
        First sample of each window.
    samples
        Length of the recording.

    Returns
    -------
    ``(12, samples)``; not a number where no window was.
    """
    total = np.zeros((heat.shape[1], samples), np.float64)
    count = np.zeros(samples, np.int64)
    for window, start in zip(heat, starts, strict=True):
        total[:, start : start + heat.shape[2]] += window
        count[start : start + heat.shape[2]] += 1
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    highest = float(np.nanmax(mean))
    return (mean / highest if highest > 0 else mean).astype(np.float32)


def salient_wave(heat: npt.NDArray[np.floating[Any]], start: int) -> tuple[int, Box]:
    """Find the part of a lead around the highest heat of a window, on the ECG's picture.

    Parameters
    ----------
    heat
        ``(12, 1000)``.
    start
        First sample of the window in the recording.

    Returns
    -------
    The 0-based page and the box around that part; the whole window in lead II where there is no
    heat, so that nothing speaks for a stenosis.
    """
    if heat.max() <= 0:
        return place(_RHYTHM, start, start + heat.shape[1])
    lead, peak = np.unravel_index(int(heat.argmax()), heat.shape)
    cold = np.flatnonzero(heat[lead] < _SALIENT * heat.max())
    first = int(cold[cold < peak].max(initial=-1)) + 1
    last = int(cold[cold > peak].min(initial=heat.shape[1]))
    return place(int(lead), start + first, start + last)
