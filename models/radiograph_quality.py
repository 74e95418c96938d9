"""Says why a radiograph can't be read as a frontal chest film, from header and picture.

The picture is compared with a drawing of two lungs beside a mediastinum, at some sizes and places:
a frontal chest correlates with it, a chest from the side, another part of the body or a film whose
grey is turned over does not. Numpy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Radiograph
from models.radiograph import film_of

Image = npt.NDArray[np.float32]

_LEAST_SIDE = 200  # pixels
_NOT_FRONTAL = ("LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAT", "LATERAL")
_CHEST = ("CHEST", "THORAX", "LUNG", "RIBS", "HEART")
#: Of 200 real frontal films the lowest likeness is 0.63 and the lowest contrast between the lungs
#: 1.04; 60 simulated lateral films reach 0.63 and 0.44.
_LEAST_LIKENESS = 0.5
_LEAST_BETWEEN = 0.75
_SURE_LIKENESS = 0.6  # to say that the grey is turned over, and nothing else is wrong
_SIDE = 40
_WIDTHS = (0.62, 0.72, 0.82, 0.94)  # of both lungs, as a share of the film
_ASPECTS = (0.75, 0.9, 1.05)  # height by width
_LEAST_RANGE = 1e-3  # of grey


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a film compares with the drawing of a frontal chest.

    Attributes
    ----------
    upright, inverted
        Highest correlation, -1 to 1, of the film and of the film with its grey turned over.
    between
        By how much the middle is brighter than the darker-drawn lung beside it, whichever is
        nearer, where the film fits best; in standard deviations of its grey there.
    """

    upright: float
    inverted: float
    between: float


def radiograph_problem(radiograph: Radiograph) -> str | None:
    """Return why a radiograph is not a frontal chest film that can be read, or None.

    Parameters
    ----------
    radiograph
        As decoders make it.
    """
    view = radiograph.view_position.upper().strip()
    part = radiograph.body_part.upper().strip()
    if min(radiograph.pixels.shape) < _LEAST_SIDE:
        rows, columns = radiograph.pixels.shape
        return f"the film has {columns} x {rows} pixels; at least {_LEAST_SIDE} are needed"
    if part and not any(name in part for name in _CHEST):
        return f"the body part is {part}, not the chest"
    if view in _NOT_FRONTAL:
        return f"the view is {view}, not PA or AP"
    if float(np.ptp(radiograph.pixels)) < _LEAST_RANGE:
        return "the film is blank"
    found = likeness(radiograph.pixels)
    if found.inverted > max(found.upright, _SURE_LIKENESS):
        return "the film's grey is turned over: air is bright"
    if found.upright < _LEAST_LIKENESS or found.between < _LEAST_BETWEEN:
        return "the film does not show two lungs beside a heart, as a frontal chest film does"
    return None


def likeness(pixels: Image) -> Likeness:
    """Compare a film with the drawing of a frontal chest.

    Parameters
    ----------
    pixels
        ``(rows, columns)``, bone bright.
    """
    small = cv2.resize(film_of(pixels).grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 0.8)
    grey = np.asarray(blurred, np.float32)
    highest, lowest, between = -1.0, 1.0, 0.0
    for drawing in _drawings():
        found = cv2.matchTemplate(grey, drawing, cv2.TM_CCOEFF_NORMED)
        low, high, _, (x, y) = cv2.minMaxLoc(found)
        lowest = min(lowest, low)
        if high > highest:
            rows, columns = drawing.shape
            highest = high
            between = _between(grey[y : y + rows, x : x + columns])
    return Likeness(highest, -lowest, between)


def _between(window: Image) -> float:
    """Compare the middle of the upper half with both sides; parameters as in Likeness."""
    rows, columns = window.shape
    band = window[round(0.15 * rows) : round(0.6 * rows)]
    edges = [round(share * columns) for share in (0.14, 0.38, 0.44, 0.58, 0.64, 0.86)]
    right, middle, left = (
        float(band[:, a:b].mean()) for a, b in (edges[0:2], edges[2:4], edges[4:6])
    )
    return (middle - max(left, right)) / max(float(window.std()), 1e-6)


@cache
def _drawings() -> tuple[Image, ...]:
    return tuple(
        _drawing(round(_SIDE * width), min(_SIDE, round(_SIDE * width * aspect)))
        for width in _WIDTHS
        for aspect in _ASPECTS
    )


def _drawing(wide: int, tall: int) -> Image:
    """Two dark lungs, narrow above and wide below, in bright soft tissue.

    The window holds the lungs, a rim of the chest wall and the upper abdomen.
    """
    scale = 8
    image = np.full((scale * tall, scale * wide), 255, np.uint8)
    for side in (-1.0, 1.0):
        outline = np.array(
            [(0.20, 0.04), (0.33, 0.10), (0.43, 0.30), (0.47, 0.60), (0.47, 0.80), (0.30, 0.72),
             (0.16, 0.80), (0.13, 0.60), (0.10, 0.35), (0.11, 0.12)]
        )  # fmt: skip
        # The heart lies more on the person's left, the film's right.
        if side > 0:
            outline[5:8, 0] += (0.04, 0.10, 0.08)
        x = (0.5 + side * outline[:, 0]) * scale * wide
        y = outline[:, 1] * scale * tall
        cv2.fillPoly(image, [np.stack([x, y], axis=1).astype(np.int32)], 0)
    soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.8 * scale)
    return cv2.resize(soft, (wide, tall), interpolation=cv2.INTER_AREA).astype(np.float32)
