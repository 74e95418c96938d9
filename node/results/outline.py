"""Prepares a region's outline for a report: closed, inside its image, with room for its label.

OHIF writes a label right of the first two points of a polyline, and hides none that lie upon each
other. Beginning the polyline at another vertex, or adding points on its edges, moves the label and
leaves the region as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from node.errors import InvalidResultError

_LABEL_COLUMNS = 0.5
"""A label begins in this part of the width, so that its text ends inside the viewport."""

_LABEL_ROWS = 0.08
"""Labels on one frame are this part of the height apart, the lowest so far from the end."""

_Points = npt.NDArray[np.float64]


def closed_outline(
    points: Sequence[tuple[float, float]], rows: int, columns: int, label: int = 0
) -> _Points:
    """Close an outline and begin it where its label has room.

    Parameters
    ----------
    points
        (column, row) of each vertex; what lies outside the image is moved to its edge.
    label
        How many regions with a label precede this one on the same frame.

    Returns
    -------
    ``(vertices + 1, 2)`` as (column, row).

    Raises
    ------
    InvalidResultError
        With fewer than three points, or one that is not a number.
    """
    outline = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(outline) > 3 and np.array_equal(outline[0], outline[-1]):
        outline = outline[:-1]
    if len(outline) < 3 or not np.isfinite(outline).all():
        raise InvalidResultError("GraphicData: a region needs three points that are numbers")
    outline = np.clip(outline, 0, [columns, rows])
    outline = np.round(outline, 2)
    rows_of_labels, room = _label_rows(outline, columns)
    lowest = float(rows_of_labels[room].max())  # low, where the label hides least
    limit = (1 - _LABEL_ROWS) * rows  # and above the end of the viewport
    wanted_row = min(lowest, limit) - label * _LABEL_ROWS * rows
    if wanted_row < lowest:
        outline = np.round(_with_points_on_edges(outline, step=rows * _LABEL_ROWS / 4), 2)
        rows_of_labels, room = _label_rows(outline, columns)
    start = int(room[np.argmin(np.abs(rows_of_labels[room] - wanted_row))])
    outline = np.roll(outline, -start, axis=0)
    return np.vstack([outline, outline[:1]])


def _label_rows(outline: _Points, columns: int) -> tuple[_Points, npt.NDArray[np.intp]]:
    """Row of the label for each vertex to begin at, and the vertices where it has room."""
    following = np.roll(outline, -1, axis=0)
    begins = np.maximum(outline[:, 0], following[:, 0])
    room = np.flatnonzero(begins <= max(_LABEL_COLUMNS * columns, begins.min()))
    return (outline[:, 1] + following[:, 1]) / 2, room


def _with_points_on_edges(outline: _Points, step: float) -> _Points:
    """Divide every edge into parts of at most ``step`` pixels."""
    parts = []
    for begin, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        number = max(1, int(np.ceil(np.linalg.norm(end - begin) / step)))
        shares = np.arange(number)[:, None] / number
        parts.append(begin + (end - begin) * shares)
    return np.vstack(parts)
