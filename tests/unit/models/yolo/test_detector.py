"""The detector: its size, its maps, how outputs become boxes, half precision."""

from __future__ import annotations

from math import exp

import pytest
import torch

from models.weights import count_parameters
from models.yolo.anchors import ANCHORS, STRIDES, decode
from models.yolo.blocks import C3, SPPF, Bottleneck
from models.yolo.detector import FEATURES, ValveDetector


@pytest.fixture(scope="module")
def network() -> ValveDetector:
    torch.manual_seed(0)
    return ValveDetector().eval()


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_it_has_the_papers_size(network: ValveDetector) -> None:
    assert count_parameters(network) == 7_022_326
    # 7,235,389 for 80 classes: each class costs three anchors' weights and bias on each map
    assert 7_235_389 - count_parameters(network) == 79 * 3 * (128 + 256 + 512 + 3)


def test_maps_of_three_strides(network: ValveDetector) -> None:
    frames = torch.randint(0, 255, (1, 1, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        shapes = [tuple(raw.shape) for raw in network(frames)]
        boxes, features = network.candidates(frames)
    assert shapes == [(1, 3, 12, 12, 6), (1, 3, 6, 6, 6), (1, 3, 3, 3, 6)]
    assert boxes.shape == (1, 3 * (144 + 36 + 9), 5)
    assert features.shape == (1, FEATURES)


def test_decoding_follows_the_formulae() -> None:
    maps = [torch.zeros(1, 3, 2, 3, 6) for _ in STRIDES]
    maps[1][0, 2, 1, 2] = torch.tensor([0.3, -0.7, 0.5, -0.2, 1.5, 9.0])
    found = decode(maps)
    assert found.shape == (1, 3 * 18, 5)
    at = 18 + 2 * 6 + 1 * 3 + 2  # the second map, third anchor, second row, third column
    width, height = ANCHORS[1][2]
    x = (2 * sigmoid(0.3) - 0.5 + 2) * STRIDES[1]
    y = (2 * sigmoid(-0.7) - 0.5 + 1) * STRIDES[1]
    w, h = (2 * sigmoid(0.5)) ** 2 * width, (2 * sigmoid(-0.2)) ** 2 * height
    wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2, sigmoid(1.5)]
    assert found[0, at].tolist() == pytest.approx(wanted, rel=1e-5)
    # zeros mean the middle of the cell and the anchor itself
    first = found[0, 0].tolist()
    assert first == pytest.approx([4 - 5.0, 4 - 6.5, 4 + 5.0, 4 + 6.5, 0.5])


def test_objects_are_rare_at_first(network: ValveDetector) -> None:
    with torch.no_grad():
        boxes, _ = network.candidates(torch.full((1, 1, 64, 64), 90, dtype=torch.uint8))
    assert float(boxes[..., 4].max()) < 0.2


def test_blocks_have_their_shortcuts() -> None:
    x = torch.randn(1, 16, 8, 8)
    with_shortcut, without = Bottleneck(16, True).eval(), Bottleneck(16, False).eval()
    without.load_state_dict(with_shortcut.state_dict())
    assert torch.allclose(with_shortcut(x) - x, without(x), atol=1e-6)
    assert C3(16, 32, 2).eval()(x).shape == (1, 32, 8, 8)
    assert SPPF(16).eval()(x).shape == x.shape


def test_half_precision_says_the_same(network: ValveDetector) -> None:
    torch.manual_seed(1)
    frames = torch.randint(0, 255, (2, 1, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        exact, _ = network.candidates(frames)
        with torch.autocast("cpu", torch.bfloat16):
            rough, _ = network.candidates(frames)
    relative = (rough - exact).norm() / exact.norm()
    assert rough.dtype == torch.float32 and float(relative) <= 1e-2
