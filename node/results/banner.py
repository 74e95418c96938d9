"""Draws the strip below a capture: a legend of the heat's colours and a banner."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_TEXT_COLOUR = (255, 255, 255)
_DIM_COLOUR = (170, 170, 170)
_SMALLEST_TEXT = 11
_LEGEND_LABELS = ("influence: low", "high")
_EVEN = 2  # colour is stored for pairs of pixels


def strip(banner: str, columns: int, legend: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.uint8]:
    """Draw the strip.

    Parameters
    ----------
    banner
        One line; broken between words where the image is narrow.
    columns
        Width of the image in pixels.
    legend
        Colour of each heat value from low to high, uint8 RGB, ``(256, 3)``; None for no legend.

    Returns
    -------
    uint8 RGB, ``(strip rows, columns, 3)``, an even number of rows.
    """
    font = cv2.FontFace("sans")
    size = max(_SMALLEST_TEXT, round(columns / 46))
    margin = max(3, size // 3)
    lines = _broken(banner, columns - 2 * margin, font, size)
    line_height = round(size * 1.35)
    height = line_height * (len(lines) + (legend is not None)) + 2 * margin
    image = np.zeros((height + height % _EVEN, columns, 3), np.uint8)
    baseline = margin + size
    for line in lines:
        cv2.putText(image, line, (margin, baseline), _TEXT_COLOUR, font, size, 500)
        baseline += line_height
    if legend is not None:
        _draw_legend(image, legend, margin, baseline, size, font)
    return image


def _broken(text: str, width: int, font: cv2.FontFace, size: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer, font, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _width(text: str, font: cv2.FontFace, size: int) -> int:
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, size, 500)
    return int(width)


def _draw_legend(
    image: npt.NDArray[np.uint8],
    legend: npt.NDArray[np.uint8],
    margin: int,
    baseline: int,
    size: int,
    font: cv2.FontFace,
) -> None:
    low, high = _LEGEND_LABELS
    small = max(_SMALLEST_TEXT - 1, round(size * 0.8))
    left = margin + _width(low, font, small) + margin
    room = image.shape[1] - left - _width(high, font, small) - 2 * margin
    length = min(room, max(40, image.shape[1] // 6))
    if length < 2:
        return
    right = left + length
    cv2.putText(image, low, (margin, baseline), _DIM_COLOUR, font, small, 400)
    bar = legend[np.linspace(0, 255, length).astype(int)]
    thickness = max(4, small // 2)
    image[baseline - thickness : baseline, left:right] = bar
    cv2.putText(image, high, (right + margin, baseline), _DIM_COLOUR, font, small, 400)
