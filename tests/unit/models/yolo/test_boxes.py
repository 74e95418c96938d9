"""Overlap of boxes against hand-computed values and a plain implementation, and suppression."""

from __future__ import annotations

from math import atan, pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.yolo.boxes import complete_iou, iou, suppress

SIDE = st.floats(1.0, 200.0)
CORNER = st.floats(-100.0, 100.0)
BOX = st.tuples(CORNER, CORNER, SIDE, SIDE).map(lambda n: (n[0], n[1], n[0] + n[2], n[1] + n[3]))


def box(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def plain_ciou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Zheng et al. (2020), eq. 8 to 11, number by number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    ratio = overlap / union
    c2 = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    rho2 = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    angle = atan((b[2] - b[0]) / (b[3] - b[1])) - atan((a[2] - a[0]) / (a[3] - a[1]))
    v = 4 / pi**2 * angle**2
    alpha = v / (1 - ratio + v) if v else 0.0
    return ratio - rho2 / c2 - alpha * v


def test_iou_by_hand() -> None:
    first = box(0, 0, 2, 2)
    others = torch.stack([box(1, 1, 3, 3), box(0, 0, 2, 2), box(5, 5, 6, 6), box(0, 0, 2, 1)])
    # 1 of 7 cells; all; none; half
    assert torch.allclose(
        iou(first.expand(4, 4), others), torch.tensor([1 / 7, 1, 0, 0.5], dtype=torch.float64)
    )


def test_complete_iou_by_hand() -> None:
    # equal shapes: 1/7, centres 2 apart (squared), enclosing diagonal 18 (squared)
    assert float(complete_iou(box(0, 0, 2, 2), box(1, 1, 3, 3))) == pytest.approx(1 / 7 - 2 / 18)
    assert float(complete_iou(box(3, 4, 9, 6), box(3, 4, 9, 6))) == pytest.approx(1.0, abs=1e-6)
    # same centre, 4x2 in 4x4: only overlap 1/2 and shape count
    angle = atan(1.0) - atan(2.0)
    v = 4 / pi**2 * angle**2
    wanted = 0.5 - v / (0.5 + v) * v
    assert float(complete_iou(box(0, 1, 4, 3), box(0, 0, 4, 4))) == pytest.approx(wanted, abs=1e-6)
    # disjoint: no overlap, centres 10 apart along x in a box of 11 x 1
    assert float(complete_iou(box(0, 0, 1, 1), box(10, 0, 11, 1))) == pytest.approx(-100 / 122)


@settings(max_examples=80, deadline=None)
@given(BOX, BOX)
def test_complete_iou_agrees_with_plain_arithmetic(
    a: tuple[float, ...], b: tuple[float, ...]
) -> None:
    assert float(complete_iou(box(*a), box(*b))) == pytest.approx(plain_ciou(a, b), abs=1e-5)


def test_complete_iou_pulls_distant_boxes_together() -> None:
    far = box(0, 0, 1, 1).requires_grad_()
    (slope,) = torch.autograd.grad(complete_iou(far, box(10, 0, 11, 1)), far)
    assert float(slope[[0, 2]].sum()) > 0  # moving right raises it


def test_suppression_keeps_the_surest_of_those_that_overlap() -> None:
    candidates = torch.tensor(
        [
            [0.0, 0.0, 10.0, 10.0, 0.6],
            [1.0, 0.0, 11.0, 10.0, 0.9],  # IoU 9/11 with the first
            [6.0, 0.0, 16.0, 10.0, 0.5],  # IoU 5/15 with the second
            [50.0, 50.0, 60.0, 60.0, 0.3],
            [80.0, 80.0, 90.0, 90.0, 0.2],  # below the confidence
        ]
    )
    kept = suppress(candidates)
    assert kept[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.3])
    assert suppress(candidates, most=1)[:, 4].tolist() == pytest.approx([0.9])
    assert suppress(candidates, confidence=0.95).shape == (0, 5)
