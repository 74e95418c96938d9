"""Where a heatmap is hottest, as an outline in the source."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import ClipWindow

#: What is at least this hot, relative to the hottest pixel, is the salient area.
_SALIENT = 0.5
_LEAST_AREA = 12.0  # pixels of the network's input
_HALF_SIDE = 4.0  # of the square that stands for an area smaller than that


def salient_area(
    heat: npt.NDArray[np.floating[Any]], window: ClipWindow, rows: int, columns: int
) -> list[list[float]]:
    """Outline the connected area around the hottest pixel.

    Parameters
    ----------
    heat
        0 to 1 on the network's square input, ``(size, size)``; what lies outside the source does
        not count.
    window
        Where that square lies in the source.
    rows, columns
        Of the source.

    Returns
    -------
    Points (column, row) of a closed border in source pixels, inside the source. A small square
    where the area has hardly an extent, the whole source where there is no heat at all.
    """
    kept = np.where(_inside(heat.shape, window, rows, columns), heat, 0.0)
    if kept.max() <= 0:
        return _in_source(_box(0, 0, columns, rows), rows, columns)
    y, x = np.unravel_index(int(kept.argmax()), kept.shape)
    _, labels = cv2.connectedComponents((kept >= _SALIENT * kept.max()).astype(np.uint8))
    area = (labels == labels[y, x]).astype(np.uint8)
    contours, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    border = max(contours, key=cv2.contourArea)
    if cv2.contourArea(border) < _LEAST_AREA:
        points = _box(x - _HALF_SIDE, y - _HALF_SIDE, x + _HALF_SIDE, y + _HALF_SIDE)
    else:
        points = cv2.approxPolyDP(border, 0.8, True)[:, 0].astype(np.float64)
    return _in_source(window.to_source(points + 0.5), rows, columns)


def _inside(
    shape: tuple[int, ...], window: ClipWindow, rows: int, columns: int
) -> npt.NDArray[np.bool_]:
    """Which pixels of the network's input lie in the source, by their centres."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    at = window.to_source(np.stack([x, y], axis=-1).astype(np.float64) + 0.5)
    return np.asarray(
        (at[..., 0] >= 0) & (at[..., 0] < columns) & (at[..., 1] >= 0) & (at[..., 1] < rows)
    )


def _box(x0: float, y0: float, x1: float, y1: float) -> npt.NDArray[np.float64]:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def _in_source(points: npt.NDArray[np.float64], rows: int, columns: int) -> list[list[float]]:
    kept = np.clip(points, [0.5, 0.5], [columns - 0.5, rows - 0.5])
    return [[round(float(x), 2), round(float(y), 2)] for x, y in kept]
