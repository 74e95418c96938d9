"""End-diastole and end-systole of a clip, found by the blood between the two predicted borders.

Blood is dark. At end-diastole it fills the outline that the network draws for end-diastole, so the
band between both outlines is darkest then; at end-systole the wall fills the band.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_SMOOTHING_FRAMES = 3
_SUBPIXEL_BITS = 4


def outline(border: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Turn chords into a closed outline.

    Parameters
    ----------
    border
        ``(20, 4)``: x1, y1, x2, y2 from apex to base.

    Returns
    -------
    ``(40, 2)``: down the left side from the apex, and up the right side.
    """
    chords = np.asarray(border, np.float64)
    return np.concatenate([chords[:, :2], chords[::-1, 2:]])


def end_diastole(
    frames: npt.NDArray[np.uint8],
    ed_border: npt.NDArray[np.floating[Any]],
    es_border: npt.NDArray[np.floating[Any]],
) -> int:
    """Return the frame in which the band between the borders is darkest.

    Parameters
    ----------
    frames
        ``(T, size, size)``.
    ed_border, es_border
        ``(20, 4)``, fractions of the side.
    """
    return int(_band_brightness(frames, ed_border, es_border).argmin())


def end_systole(
    frames: npt.NDArray[np.uint8],
    ed_border: npt.NDArray[np.floating[Any]],
    es_border: npt.NDArray[np.floating[Any]],
) -> int:
    """Return the frame in which the band is brightest; arguments as in :func:`end_diastole`."""
    return int(_band_brightness(frames, ed_border, es_border).argmax())


def _band_brightness(
    frames: npt.NDArray[np.uint8],
    ed_border: npt.NDArray[np.floating[Any]],
    es_border: npt.NDArray[np.floating[Any]],
) -> npt.NDArray[np.float64]:
    """Mean grey between the borders, relative to the whole frame, smoothed over time."""
    size = frames.shape[1]
    band = _filled(ed_border, size) & ~_filled(es_border, size)
    if band.sum() < 8:  # hardly any contraction: the whole cavity has to do
        band = _filled(ed_border, size)
    if not band.any():
        return np.zeros(len(frames))
    # A gain that changes over the clip must not decide.
    level = frames[:, band].mean(1) - 0.5 * frames.reshape(len(frames), -1).mean(1)
    reach = _SMOOTHING_FRAMES // 2
    padded = np.pad(level, reach, mode="edge")
    return np.convolve(padded, np.ones(_SMOOTHING_FRAMES) / _SMOOTHING_FRAMES, mode="valid")


def _filled(border: npt.NDArray[np.floating[Any]], size: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((size, size), np.uint8)
    points = np.round((outline(border) * size - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=_SUBPIXEL_BITS)
    return mask > 0
