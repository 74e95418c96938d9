"""Overlap of boxes, and non-maximum suppression. Boxes are x0, y0, x1, y1."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor
from torchvision.ops import nms

_LITTLE = 1e-7


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of pairs: ``(..., 4)`` each to ``(...)``, 0 to 1."""
    overlap, union = _areas(first, second)
    return overlap / union


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """CIoU of pairs (Zheng et al., AAAI 2020, eq. 8 to 11): ``(..., 4)`` each to ``(...)``.

    IoU less the squared distance of the centres relative to the diagonal of the smallest box
    around both, less the weighted difference of the aspect ratios; 1 for equal boxes, and below 0
    for distant ones.
    """
    overlap, union = _areas(first, second)
    plain = overlap / union
    around = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(
        first[..., :2], second[..., :2]
    )
    diagonal = (around**2).sum(-1) + _LITTLE
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = (apart**2).sum(-1)
    angle = _aspect(second) - _aspect(first)
    shape = 4 / pi**2 * angle**2
    with torch.no_grad():
        trade_off = shape / (1 - plain + shape + _LITTLE)
    return plain - distance / diagonal - trade_off * shape


def suppress(
    candidates: Tensor, confidence: float = 0.25, overlap: float = 0.45, most: int = 300
) -> Tensor:
    """Keep the best of boxes that overlap.

    Parameters
    ----------
    candidates
        ``(N, 5)``: box and score.
    confidence, overlap
        Least score; IoU from which the weaker of two boxes goes.
    most
        Boxes that are kept.

    Returns
    -------
    ``(K, 5)``, the surest first; K may be 0.
    """
    sure = candidates[candidates[:, 4] >= confidence]
    return sure[nms(sure[:, :4], sure[:, 4], overlap)[:most]]


def _areas(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union; the union is never 0."""
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(
        first[..., :2], second[..., :2]
    )
    overlap = sides.clamp_min(0).prod(-1)
    both = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    return overlap, both - overlap + _LITTLE


def _aspect(box: Tensor) -> Tensor:
    width, height = (box[..., 2:] - box[..., :2]).unbind(-1)
    return torch.atan(width / (height + _LITTLE))
