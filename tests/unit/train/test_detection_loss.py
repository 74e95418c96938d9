"""Which anchors answer for a box, and that the loss is smallest for the right answer."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from models.yolo.anchors import ANCHORS, PER_CELL, STRIDES, decode
from models.yolo.detector import ValveDetector
from train.detection_loss import MOST_RATIO, DetectionLoss, assign

SIZE = 128


def empty_maps(images: int = 1) -> list[Tensor]:
    """Outputs that see nothing: objectness far below 0."""
    maps = [torch.zeros(images, PER_CELL, SIZE // s, SIZE // s, 6) for s in STRIDES]
    for raw in maps:
        raw[..., 4] = -12.0
    return maps


def logit(p: Tensor) -> Tensor:
    return torch.log(p / (1 - p))


def perfect_maps(box: Tensor) -> list[Tensor]:
    """Outputs that invert the decoding in every cell that answers for the box."""
    maps = empty_maps()
    present = torch.ones(1, dtype=torch.bool)
    for raw, stride, sizes in zip(maps, STRIDES, ANCHORS, strict=True):
        anchors = torch.tensor(sizes)
        found = assign(box[None], present, anchors, stride, *raw.shape[2:4])
        at = (found.image, found.anchor, found.row, found.column)
        centre = logit(((found.centre + 0.5) / 2).clamp(1e-4, 1 - 1e-4))
        share = torch.sqrt(found.size / (anchors[found.anchor] / stride)) / 2
        raw[at] = torch.cat(
            [centre, logit(share), torch.full((len(centre), 1), 12.0), centre[:, :1]], dim=1
        )
    return maps


BOX = torch.tensor([41.0, 30.0, 95.0, 90.0])  # 54 x 60 around (68, 60)
THERE = torch.ones(1, dtype=torch.bool)


def test_anchors_answer_for_boxes_of_similar_sides() -> None:
    for level, stride in enumerate(STRIDES):
        anchors = torch.tensor(ANCHORS[level])
        found = assign(BOX[None], THERE, anchors, stride, SIZE // stride, SIZE // stride)
        for number, (width, height) in enumerate(ANCHORS[level]):
            ratio = max(54 / width, width / 54, 60 / height, height / 60)
            assert bool((found.anchor == number).any()) == (ratio < MOST_RATIO)


def test_the_centres_cell_and_its_nearer_neighbours_answer() -> None:
    # stride 16: the centre (4.25, 3.75) is in cell (4, 3), left of its middle and below it
    found = assign(BOX[None], THERE, torch.tensor([[60.0, 60.0]]), 16, 8, 8)
    cells = set(zip(found.column.tolist(), found.row.tolist(), strict=True))
    assert cells == {(4, 3), (3, 3), (4, 4)}
    for column, row, centre in zip(found.column, found.row, found.centre, strict=True):
        assert (centre[0] + column).item() == pytest.approx(4.25)
        assert (centre[1] + row).item() == pytest.approx(3.75)
        assert centre.min() >= -0.5 and centre.max() <= 1.5  # within reach of the decoding


def test_no_cell_outside_the_map_answers() -> None:
    corner = torch.tensor([[0.0, 0.0, 10.0, 10.0]])  # centre (0.31, 0.31) in cells of 16
    found = assign(corner, THERE, torch.tensor([[10.0, 13.0]]), 16, 8, 8)
    assert {(0, 0)} == set(zip(found.column.tolist(), found.row.tolist(), strict=True))
    nobody = assign(corner, ~THERE, torch.tensor([[10.0, 13.0]]), 16, 8, 8)
    assert len(nobody.image) == 0


def test_a_perfect_answer_costs_nothing_and_others_more() -> None:
    loss = DetectionLoss()
    perfect = perfect_maps(BOX)
    terms = loss(perfect, BOX[None], THERE)
    assert terms["box"] < 1e-4 and terms["loss"] < 1e-3
    best = decode(perfect)[0]
    assert torch.allclose(best[best[:, 4].argmax(), :4], BOX, atol=0.1)
    moved = [raw.clone() for raw in perfect]
    for raw in moved:
        raw[..., :2] += 1.0
    assert loss(moved, BOX[None], THERE)["box"] > 10 * terms["box"] + 1e-3
    blind = loss(empty_maps(), BOX[None], THERE)
    assert blind["objectness"] > 100 * terms["objectness"]


def test_a_box_where_there_is_none_costs() -> None:
    loss = DetectionLoss()
    quiet = loss(empty_maps(), torch.zeros(1, 4), ~THERE)
    wrong = loss(perfect_maps(BOX), torch.zeros(1, 4), ~THERE)
    assert quiet["box"] == 0 and wrong["box"] == 0
    assert quiet["loss"] < 1e-4 < wrong["loss"]


def test_objectness_of_maps_is_balanced() -> None:
    """Nothing but logits of 0 costs log 2 on each map, weighted 4, 1, 0.4."""
    maps = [torch.zeros(1, PER_CELL, SIZE // s, SIZE // s, 6) for s in STRIDES]
    terms = DetectionLoss()(maps, torch.zeros(1, 4), ~THERE)
    assert float(terms["objectness"]) == pytest.approx(5.4 * log(2))


def test_it_learns_one_image() -> None:
    torch.manual_seed(0)
    network = ValveDetector()
    frames = torch.randint(0, 60, (1, 1, 64, 64), dtype=torch.uint8)
    box = torch.tensor([[12.0, 20.0, 44.0, 50.0]])
    frames[0, 0, 20:50, 12:44] = 230
    loss, optimizer = DetectionLoss(), torch.optim.AdamW(network.parameters(), 2e-3)
    history = []
    for _ in range(8):
        terms = loss(network(frames), box, THERE)
        torch.autograd.backward(terms["loss"])
        optimizer.step()
        optimizer.zero_grad()
        history.append(float(terms["loss"].detach()))
    assert history[-1] < 0.7 * history[0]
