"""The outline of a heatmap's hottest area, in the source's pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.inputs import Box, ClipWindow
from node.findings.salient import salient_area

#: A film of 400 x 300 in a square of 448 pixels: one pixel of the heat is two of the source.
ROWS, COLUMNS = 448, 300
WINDOW = ClipWindow(Box(-74, 0, 374, 448), 224)


def blob(x: float, y: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[:224, :224]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_the_area_around_the_hottest_pixel() -> None:
    heat = blob(120, 100, 10) + 0.9 * blob(60, 30, 8)
    outline = np.array(salient_area(heat, WINDOW, ROWS, COLUMNS))
    centre = (120.5 * 2 - 74, 100.5 * 2)
    polygon = outline.astype(np.float32)
    assert cv2.pointPolygonTest(polygon, centre, False) > 0
    assert cv2.pointPolygonTest(polygon, (60.5 * 2 - 74, 61.0), False) < 0
    # half of the maximum of a Gaussian lies 1.18 sigma away; two source pixels each
    radius = 1.177 * 10 * 2
    assert cv2.contourArea(polygon) == pytest.approx(np.pi * radius**2, rel=0.12)


def test_heat_outside_the_source_does_not_count() -> None:
    heat = 5 * blob(10, 100, 6) + blob(150, 60, 6)  # column 10 is padding
    outline = np.array(salient_area(heat, WINDOW, ROWS, COLUMNS))
    assert outline[:, 0].min() > 150


def test_a_point_becomes_a_small_square_and_nothing_the_whole_film() -> None:
    heat = np.zeros((224, 224))
    whole = np.array(salient_area(heat, WINDOW, ROWS, COLUMNS))
    assert whole.min() == 0.5
    assert whole.max(axis=0).tolist() == [COLUMNS - 0.5, ROWS - 0.5]
    heat[50, 100] = 1.0
    square = np.array(salient_area(heat, WINDOW, ROWS, COLUMNS))
    assert np.ptp(square, axis=0).tolist() == [16.0, 16.0]
    assert square.mean(axis=0).tolist() == [100.5 * 2 - 74, 101.0]
