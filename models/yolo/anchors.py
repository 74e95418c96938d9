"""Anchors and how raw outputs become boxes."""

from __future__ import annotations

import torch
from torch import Tensor

#: Cells of the three maps, in pixels of the input.
STRIDES = (8, 16, 32)
#: Width and height of the three anchors of each map, in pixels: those of COCO at 640.
ANCHORS = (
    ((10.0, 13.0), (16.0, 30.0), (33.0, 23.0)),
    ((30.0, 61.0), (62.0, 45.0), (59.0, 119.0)),
    ((116.0, 90.0), (156.0, 198.0), (373.0, 326.0)),
)
PER_CELL = 3


def cell_grid(rows: int, columns: int, like: Tensor) -> Tensor:
    """Column and row of every cell, ``(rows, columns, 2)``, on the device of `like`."""
    ys, xs = torch.meshgrid(
        torch.arange(rows, device=like.device),
        torch.arange(columns, device=like.device),
        indexing="ij",
    )
    return torch.stack([xs, ys], dim=-1).float()


def decode_offsets(raw: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Raw outputs to centre and size, both in cells.

    ``xy = 2 sigmoid(t) - 0.5`` reaches half a cell beyond its own, ``wh = (2 sigmoid(t))^2 anchor``
    at most four times the anchor.

    Parameters
    ----------
    raw
        ``(..., 4 or more)``: x, y, w, h first.
    anchors
        Width and height in cells, broadcast against ``(..., 2)``.

    Returns
    -------
    Centre relative to the cell's corner and size, ``(..., 2)`` each.
    """
    share = raw[..., :4].float().sigmoid()
    return 2 * share[..., :2] - 0.5, (2 * share[..., 2:4]) ** 2 * anchors


def decode(maps: list[Tensor]) -> Tensor:
    """All candidates of all maps.

    Parameters
    ----------
    maps
        For each stride raw outputs ``(B, 3, rows, columns, 5 + classes)``.

    Returns
    -------
    float32 ``(B, N, 5)``: x0, y0, x1, y1 in pixels of the input, and objectness 0 to 1. With one
    class the objectness is the score: the class output is not trained and not looked at.
    """
    out = []
    for raw, stride, sizes in zip(maps, STRIDES, ANCHORS, strict=True):
        batch, _, rows, columns, _ = raw.shape
        anchors = torch.tensor(sizes, device=raw.device) / stride
        centre, size = decode_offsets(raw, anchors[None, :, None, None])
        centre = (centre + cell_grid(rows, columns, raw)) * stride
        half = size * stride / 2
        score = raw[..., 4:5].float().sigmoid()
        found = torch.cat([centre - half, centre + half, score], dim=-1)
        out.append(found.reshape(batch, -1, 5))
    return torch.cat(out, dim=1)
