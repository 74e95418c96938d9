"""Outlines: the region stays, the label moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import InvalidResultError
from node.results.outline import closed_outline

ROWS, COLUMNS = 240, 320
_point = st.tuples(st.floats(0, COLUMNS), st.floats(0, ROWS))


def _area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


@settings(deadline=None, max_examples=60)
@given(st.lists(_point, min_size=3, max_size=12), st.integers(0, 4))
def test_the_region_is_the_same(points: list[tuple[float, float]], label: int) -> None:
    outline = closed_outline(points, ROWS, COLUMNS, label)
    assert np.array_equal(outline[0], outline[-1])
    # coordinates are rounded to hundredths
    tolerance = 0.01 * (ROWS + COLUMNS) * len(outline)
    assert _area(outline[:-1]) == pytest.approx(_area(np.array(points)), abs=tolerance)


def test_the_label_has_room_where_the_outline_reaches_into_the_left_half() -> None:
    box = [(40.0, 20.0), (300.0, 20.0), (300.0, 200.0), (40.0, 200.0)]
    first, second = closed_outline(box, ROWS, COLUMNS)[:2]
    assert max(first[0], second[0]) <= COLUMNS / 2


def test_the_label_is_low_in_the_picture() -> None:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = [(100 + 30 * np.cos(a), 100 + 60 * np.sin(a)) for a in angles]
    assert closed_outline(points, ROWS, COLUMNS)[0, 1] > 155


def test_without_room_the_label_begins_as_far_left_as_it_can() -> None:
    box = [(250.0, 20.0), (300.0, 20.0), (300.0, 60.0), (250.0, 60.0)]
    assert closed_outline(box, ROWS, COLUMNS)[:2, 0].max() == 250


def test_labels_on_one_frame_are_apart() -> None:
    box = [(40.0, 20.0), (300.0, 20.0), (300.0, 200.0), (40.0, 200.0)]
    rows = [closed_outline(box, ROWS, COLUMNS, label)[:2, 1].mean() for label in range(4)]
    assert np.all(np.diff(rows) < -0.06 * ROWS)


def test_a_closed_outline_is_not_closed_twice() -> None:
    triangle = [(10.0, 10.0), (50.0, 10.0), (30.0, 40.0), (10.0, 10.0)]
    assert len(closed_outline(triangle, ROWS, COLUMNS)) == 4


def test_points_outside_the_image_move_to_its_edge() -> None:
    outline = closed_outline([(-5.0, -5.0), (400.0, 10.0), (30.0, 300.0)], ROWS, COLUMNS)
    assert outline.min() == 0
    assert outline[:, 0].max() == COLUMNS
    assert outline[:, 1].max() == ROWS


@pytest.mark.parametrize(
    "points", [[], [(1.0, 1.0), (2.0, 2.0)], [(1.0, 1.0), (2.0, 2.0), (float("nan"), 3.0)]]
)
def test_what_is_no_region_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(InvalidResultError, match="three points"):
        closed_outline(points, ROWS, COLUMNS)


def test_the_label_of_a_region_that_fills_the_image_is_above_its_end() -> None:
    sector = [(100.0, 0.0), (20.0, 150.0), (60.0, 216.0), (110.0, 216.0), (240.0, 120.0)]
    rows = [
        closed_outline(sector, rows=216, columns=240, label=label)[:2, 1].mean() for label in (0, 1)
    ]
    assert 0.85 * 216 < rows[0] <= 0.94 * 216
    assert 0.05 * 216 < rows[0] - rows[1] < 0.12 * 216
