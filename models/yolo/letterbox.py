"""Brings an image of any shape to a square without distortion, and boxes back again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

#: Grey of the padding, as YOLOv5 has it.
PADDING_GREY = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image of ``rows x columns`` lies in the square.

    Attributes
    ----------
    rows, columns
        Of the image.
    width, height
        Of the image in the square, pixels.
    left, top
        Of the image in the square, pixels.
    size
        Side of the square.
    """

    rows: int
    columns: int
    width: int
    height: int
    left: int
    top: int
    size: int

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Resize ``(rows, columns)`` bilinearly (by area when it shrinks) and pad it in grey."""
        out = np.full((self.size, self.size), PADDING_GREY, np.uint8)
        how = cv2.INTER_AREA if self.width < self.columns else cv2.INTER_LINEAR
        inner = cv2.resize(image, (self.width, self.height), interpolation=how)
        out[self.top : self.top + self.height, self.left : self.left + self.width] = inner
        return out

    def to_square(self, boxes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Boxes x0, y0, x1, y1 ``(..., 4)`` in image pixels to pixels of the square."""
        return np.asarray(boxes, np.float64) * self._scale + self._offset

    def to_image(self, boxes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Invert :meth:`to_square`."""
        return (np.asarray(boxes, np.float64) - self._offset) / self._scale

    @property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array([self.width / self.columns, self.height / self.rows] * 2)

    @property
    def _offset(self) -> npt.NDArray[np.float64]:
        return np.array([self.left, self.top] * 2, np.float64)


def letterbox(rows: int, columns: int, size: int) -> Letterbox:
    """Fit an image into the square: one scale for both directions, centred.

    Raises
    ------
    ValueError
        The image has no pixels.
    """
    if min(rows, columns, size) < 1:
        raise ValueError(f"no letterbox of {rows} x {columns} in {size}")
    scale = min(size / rows, size / columns)
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    return Letterbox(rows, columns, width, height, (size - width) // 2, (size - height) // 2, size)
