"""Brings a radiograph to the chest X-ray network's input: windowed, square, 224 x 224."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Box, ClipWindow

SIZE = 224
#: Percentiles of grey that become black and white; the ends hold markers and collimated borders.
_WINDOW = (1.0, 99.5)
#: Share of the film at each edge that does not decide the window.
_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class Film:
    """A film as the network takes it.

    Attributes
    ----------
    grey
        uint8 ``(224, 224)``, air dark.
    window
        Where it lies in the radiograph: the whole film, padded black to a square.
    """

    grey: npt.NDArray[np.uint8]
    window: ClipWindow


def film_of(pixels: npt.NDArray[np.float32], size: int = SIZE) -> Film:
    """Window a radiograph by percentiles and fit it into a square.

    Parameters
    ----------
    pixels
        ``(rows, columns)``, any range, bone bright; of :class:`models.inputs.Radiograph`.
    size
        Side of the result.
    """
    rows, columns = pixels.shape
    side = max(rows, columns)
    tall, wide = max(1, round(size * rows / side)), max(1, round(size * columns / side))
    small = cv2.resize(
        np.asarray(pixels, np.float32), (wide, tall), interpolation=cv2.INTER_AREA
    ).reshape(tall, wide)
    top, left = round(_MARGIN * tall), round(_MARGIN * wide)
    low, high = np.percentile(small[top : tall - top, left : wide - left], _WINDOW)
    share = (small - np.float32(low)) / np.float32(max(float(high - low), 1e-4))
    grey = np.zeros((size, size), np.uint8)
    y, x = (size - tall) // 2, (size - wide) // 2
    grey[y : y + tall, x : x + wide] = np.round(255 * np.clip(share, 0.0, 1.0))
    # The box is in source pixels: the square around the film, with the same centring.
    scale = side / size
    x0, y0 = -round(x * scale), -round(y * scale)
    return Film(grey, ClipWindow(Box(x0, y0, x0 + side, y0 + side), size))
