"""Turns the raw maps of overlapping windows into one map for each source frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float32]

PADDING = -1


def window_indices(start: int, length: int, period: int, valid: int) -> npt.NDArray[np.int64]:
    """Name the source frame of each position of a window; PADDING for positions without one.

    Returns
    -------
    int64 ``(length,)``.
    """
    positions = np.arange(length, dtype=np.int64)
    return np.where(positions < valid, start + period * positions, PADDING)


def merge_windows(
    heat: npt.NDArray[np.floating[Any]], indices: npt.NDArray[np.integer[Any]], frames: int
) -> Maps:
    """Average what all windows say about each source frame; fill frames that none has seen.

    Parameters
    ----------
    heat
        ``(windows, length, h, w)``; values that are not finite count as 0.
    indices
        The source frame of each position, ``(windows, length)``, PADDING for none.
    frames
        Number of source frames.

    Returns
    -------
    ``(frames, h, w)``. A frame between two seen ones (every other one, when the windows have a
    period of 2) is interpolated in time; one before the first or after the last is its copy.

    Raises
    ------
    ValueError
        The shapes don't fit, an index is not a frame, or no frame was seen.
    """
    if heat.shape[:2] != indices.shape:
        raise ValueError(f"heat of {heat.shape[:2]} positions for {indices.shape} indices")
    seen = indices >= 0
    if not seen.any() or indices.max() >= frames:
        raise ValueError("the windows show no frame, or one that is not there")
    total = np.zeros((frames, *heat.shape[2:]), np.float64)
    times = np.zeros(frames, np.int64)
    np.add.at(total, indices[seen], np.nan_to_num(heat[seen], nan=0.0, posinf=0.0, neginf=0.0))
    np.add.at(times, indices[seen], 1)
    known = np.flatnonzero(times)
    means = total[known] / times[known][:, None, None]
    return _interpolate(means, known, frames).astype(np.float32)


def normalise(maps: npt.NDArray[np.floating[Any]], low: float = 1.0, high: float = 99.5) -> Maps:
    """Scale to 0 to 1 by percentiles over all frames, so that frames of a clip compare.

    Parameters
    ----------
    maps
        ``(frames, h, w)``; values that are not finite count as 0.
    low, high
        Percentiles that become 0 and 1: single hot pixels don't hide the rest.

    Returns
    -------
    The same shape; all 0 where the maps are constant.
    """
    clean = np.nan_to_num(np.asarray(maps, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    bottom, top = np.percentile(clean, [low, high])
    if top <= bottom:
        # Heat in less than half a percent of the pixels is still heat.
        bottom, top = float(clean.min()), float(clean.max())
    if top <= bottom:
        return np.zeros_like(clean)
    scaled: Maps = np.clip((clean - bottom) / (top - bottom), 0.0, 1.0).astype(np.float32)
    return scaled


def _interpolate(
    means: npt.NDArray[np.float64], known: npt.NDArray[np.int64], frames: int
) -> npt.NDArray[np.float64]:
    wanted = np.arange(frames)
    right = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    left = np.where(known[right] > wanted, np.maximum(right - 1, 0), right)
    gap = np.maximum(known[right] - known[left], 1)
    share = np.clip((wanted - known[left]) / gap, 0.0, 1.0)[:, None, None]
    blended: npt.NDArray[np.float64] = means[left] * (1 - share) + means[right] * share
    return blended
