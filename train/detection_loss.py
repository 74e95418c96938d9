"""The detector's loss: which anchor answers for which box, and how wrong its answer is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.yolo.anchors import ANCHORS, STRIDES, decode_offsets
from models.yolo.boxes import complete_iou

#: An anchor answers for a box when no side differs by this factor or more.
MOST_RATIO = 4.0
#: Weight of the objectness of each map: the fine one has most cells.
BALANCE = (4.0, 1.0, 0.4)
#: A cell's own corner, then the neighbours to the left, above, right and below.
_NEIGHBOURS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
_REACH = 0.5


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cells of one map that answer for a box; one entry each, ``(N,)``.

    Attributes
    ----------
    image, anchor, row, column
        Which output.
    centre, size
        The box it should give: centre relative to the cell's corner, size; in cells, ``(N, 2)``.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    centre: Tensor
    size: Tensor


def assign(
    boxes: Tensor, present: Tensor, anchors: Tensor, stride: int, rows: int, columns: int
) -> Assignment:
    """Choose the cells and anchors of one map that answer for each box.

    An anchor does when ``max(w / wa, wa / w, h / ha, ha / h) < 4``; the cell that holds the centre
    does, and the two neighbours whose border is nearer than half a cell.

    Parameters
    ----------
    boxes
        x0, y0, x1, y1 in pixels, ``(B, 4)``: at most one box in each image.
    present
        Whether the image has a box, bool ``(B,)``.
    anchors
        Width and height in pixels, ``(3, 2)``.
    stride, rows, columns
        Of the map.
    """
    image = present.nonzero()[:, 0]
    corner = boxes[image] / stride
    centre, size = (corner[:, :2] + corner[:, 2:]) / 2, corner[:, 2:] - corner[:, :2]
    ratio = size[:, None] / (anchors / stride)[None]
    fits = torch.maximum(ratio, 1 / ratio).amax(-1) < MOST_RATIO
    which, anchor = fits.nonzero(as_tuple=True)
    centre, size, image = centre[which], size[which], image[which]
    # how far the centre lies into its cell, from the left and top, and from the right and bottom
    into = centre % 1
    back = torch.tensor([columns, rows], device=boxes.device) - centre
    near = (into < _REACH) & (centre > 1)
    far = (back % 1 < _REACH) & (back > 1)
    answers = torch.stack([torch.ones_like(near[:, 0]), *near.unbind(1), *far.unbind(1)])
    offset, entry = answers.nonzero(as_tuple=True)
    shift = torch.tensor(_NEIGHBOURS, device=boxes.device)[offset] * _REACH
    cell = (centre[entry] - shift).floor()
    column = cell[:, 0].clamp(0, columns - 1).long()
    row = cell[:, 1].clamp(0, rows - 1).long()
    own = torch.stack([column, row], dim=1)
    return Assignment(image[entry], anchor[entry], row, column, centre[entry] - own, size[entry])


class DetectionLoss:
    """``box (1 - CIoU) + objectness BCE``; the class has no term, as there is only one.

    Parameters
    ----------
    box, objectness
        Weights. YOLOv5 multiplies the sum by the batch size, for SGD; AdamW needs no such scale.
    """

    def __init__(self, box: float = 0.05, objectness: float = 1.0) -> None:
        self._box = box
        self._objectness = objectness

    def __call__(self, maps: list[Tensor], boxes: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Compute the terms and their sum ``loss``.

        Parameters
        ----------
        maps
            Raw outputs of the three heads, ``(B, 3, rows, columns, 6)`` each.
        boxes, present
            As in :func:`assign`.
        """
        box = torch.zeros((), device=boxes.device)
        objectness = torch.zeros((), device=boxes.device)
        for raw, stride, sizes, weight in zip(maps, STRIDES, ANCHORS, BALANCE, strict=True):
            anchors = torch.tensor(sizes, device=boxes.device)
            found = assign(boxes, present, anchors, stride, *raw.shape[2:4])
            target = torch.zeros(raw.shape[:4], device=boxes.device)
            if len(found.image):
                at = (found.image, found.anchor, found.row, found.column)
                centre, size = decode_offsets(raw[at], anchors[found.anchor] / stride)
                ciou = complete_iou(_corners(centre, size), _corners(found.centre, found.size))
                box = box + (1 - ciou).mean()
                target[at] = ciou.detach().clamp_min(0)
            objectness = objectness + weight * functional.binary_cross_entropy_with_logits(
                raw[..., 4].float(), target
            )
        terms = {"box": self._box * box, "objectness": self._objectness * objectness}
        return {"loss": terms["box"] + terms["objectness"], **terms}


def _corners(centre: Tensor, size: Tensor) -> Tensor:
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)
