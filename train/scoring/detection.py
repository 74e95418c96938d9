"""Counts right and wrong boxes, where a frame has at most one true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Detections kept for each frame; the rest could only be false.
KEPT = 10


@dataclass(frozen=True, slots=True)
class Matched:
    """The detections of some frames beside the truth.

    Attributes
    ----------
    present
        Whether the frame has a true box, bool ``(N,)``.
    score
        Of each detection, the surest first, ``(N, KEPT)``; -1 for none.
    overlap
        Its IoU with the true box, ``(N, KEPT)``; 0 where there is none.
    """

    present: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]


def match(
    found: Sequence[npt.NDArray[np.floating[Any]]],
    boxes: npt.NDArray[np.floating[Any]],
    present: npt.NDArray[np.bool_],
) -> Matched:
    """Compare detections with the truth.

    Parameters
    ----------
    found
        For each frame ``(K, 5)``: box and score, the surest first.
    boxes, present
        True boxes ``(N, 4)``, and whether there is one.
    """
    score = np.full((len(found), KEPT), -1.0)
    overlap = np.zeros((len(found), KEPT))
    for at, detections in enumerate(found):
        kept = detections[:KEPT]
        score[at, : len(kept)] = kept[:, 4]
        if present[at] and len(kept):
            overlap[at, : len(kept)] = _iou(kept[:, :4], boxes[at])
    return Matched(np.asarray(present), score, overlap)


def counts(
    matched: Matched, confidence: float, least_overlap: float = 0.5
) -> npt.NDArray[np.int64]:
    """Count right boxes, wrong boxes and missed valves of each frame, ``(N, 3)``.

    A second box on the same valve is wrong, as is any box on a frame without a valve.
    """
    taken = matched.score >= confidence
    right = (taken & (matched.overlap >= least_overlap)).any(1)
    return np.stack([right, taken.sum(1) - right, matched.present & ~right], axis=1).astype(
        np.int64
    )


def precision(table: npt.NDArray[np.int64]) -> float:
    """Right boxes among all; NaN without any."""
    right, wrong = int(table[:, 0].sum()), int(table[:, 1].sum())
    return right / (right + wrong) if right + wrong else float("nan")


def recall(table: npt.NDArray[np.int64]) -> float:
    """Valves that were found; NaN without any."""
    right, missed = int(table[:, 0].sum()), int(table[:, 2].sum())
    return right / (right + missed) if right + missed else float("nan")


def f1(table: npt.NDArray[np.int64]) -> float:
    """Harmonic mean of precision and recall; NaN without valves and boxes."""
    right, wrong, missed = (int(n) for n in table.sum(0))
    every = 2 * right + wrong + missed
    return 2 * right / every if every else float("nan")


def average_precision(
    present: npt.NDArray[np.bool_],
    score: npt.NDArray[np.float64],
    overlap: npt.NDArray[np.float64],
    least_overlap: float = 0.5,
) -> float:
    """Area under the precision-recall curve with precision made monotone; NaN without valves."""
    valves = int(present.sum())
    if not valves:
        return float("nan")
    hit = overlap >= least_overlap
    first = hit & (np.cumsum(hit, axis=1) == 1)
    taken = score >= 0
    order = np.argsort(-score[taken], kind="stable")
    right = np.cumsum(first[taken][order])
    curve = right / np.arange(1, len(right) + 1)
    best_beyond = np.maximum.accumulate(curve[::-1])[::-1]
    return float((np.diff(right, prepend=0) * best_beyond).sum() / valves)


def _iou(
    boxes: npt.NDArray[np.floating[Any]], truth: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    sides = np.minimum(boxes[:, 2:], truth[2:]) - np.maximum(boxes[:, :2], truth[:2])
    overlap = np.clip(sides, 0, None).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (truth[2:] - truth[:2]).prod() - overlap
    return np.asarray(overlap / np.maximum(union, 1e-9), np.float64)
