"""RSMAS-Net's size, its blocks against written-out computations, and its precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from models.mdta import MDTA, DepthWise3x3
from models.rsmas_net import RsmasNet
from models.scconv import ChannelReconstruction, SCConv, SpatialReconstruction
from models.weights import count_parameters, load_network
from train.phantom.parts.base import CohortPlan
from train.phantom.parts.stenosis import StenosisPart


@pytest.fixture(scope="module")
def network() -> RsmasNet:
    torch.manual_seed(1)
    return RsmasNet().eval()


def frames(count: int = 2, size: int = 112) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)


def test_parameters_and_work_are_the_paper_s(network: RsmasNet) -> None:
    second_head = 2 * 1024 + 2  # the paper trains one network for each question
    assert count_parameters(network) - second_head == 17_631_306
    assert count_parameters(network) == pytest.approx(17.63e6, rel=0.005)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(frames(1))
    assert counter.get_total_flops() / 2 == pytest.approx(0.97e9, rel=0.005)


def test_blocks_have_the_published_sizes() -> None:
    assert count_parameters(SCConv(256)) == 119_552
    assert count_parameters(SCConv(1024)) == 1_903_616
    assert count_parameters(MDTA(256)) == 269_576
    assert count_parameters(MDTA(1024)) == 4_224_008


def test_any_gain_of_the_display_gives_the_same_answer(network: RsmasNet) -> None:
    grey = frames(1).float()
    with torch.no_grad():
        plain, louder = network(grey), network(0.5 * grey + 20)
    assert torch.allclose(plain.stenosis, louder.stenosis, atol=1e-4)
    assert torch.isfinite(network(torch.zeros(1, 1, 112, 112)).severity).all()


def test_spatial_reconstruction_follows_the_formula() -> None:
    torch.manual_seed(3)
    unit = SpatialReconstruction(16, groups=4)
    torch.nn.init.uniform_(unit.norm.weight, 0.2, 2.0)
    torch.nn.init.normal_(unit.norm.bias, std=0.5)
    x = torch.randn(2, 16, 3, 3)
    gamma = unit.norm.weight.detach().tolist()
    expected = torch.zeros_like(x)
    kept, lost = torch.zeros_like(x), torch.zeros_like(x)
    normed = unit.norm(x).detach()
    for n in range(2):
        for c in range(16):
            for i in range(3):
                for j in range(3):
                    value = float(normed[n, c, i, j]) * gamma[c] / sum(gamma)
                    informative = 1 / (1 + math.exp(-value)) >= 0.5
                    (kept if informative else lost)[n, c, i, j] = x[n, c, i, j]
    expected[:, :8] = kept[:, :8] + lost[:, 8:]
    expected[:, 8:] = kept[:, 8:] + lost[:, :8]
    assert torch.allclose(unit(x), expected, atol=1e-6)
    assert 0.1 < float(unit.gate(x).detach().mean()) < 0.9
    # Nothing is lost by crossing, and the gate learns although it is a step.
    halves = unit(x)[:, :8] + unit(x)[:, 8:]
    assert torch.allclose(halves, x[:, :8] + x[:, 8:], atol=1e-5)
    unit(x).square().sum().backward()
    assert unit.norm.weight.grad is not None
    assert unit.norm.weight.grad.abs().sum() > 0


def test_channel_reconstruction_weighs_two_branches_for_each_channel() -> None:
    torch.manual_seed(4)
    unit = ChannelReconstruction(16)
    x = torch.randn(2, 16, 3, 3)
    rich, cheap = (branch.detach() for branch in unit.branches(x))
    expected = torch.zeros_like(x)
    for n in range(2):
        for c in range(16):
            first, second = float(rich[n, c].mean()), float(cheap[n, c].mean())
            share = math.exp(first) / (math.exp(first) + math.exp(second))
            expected[n, c] = share * rich[n, c] + (1 - share) * cheap[n, c]
    assert torch.allclose(unit(x), expected, atol=1e-5)
    # The cheap branch keeps the squeezed lower half as it is.
    lower = functional.conv2d(x[:, 8:], unit.squeeze_lower.weight)
    assert torch.allclose(cheap[:, 12:], lower, atol=1e-5)
    up = functional.conv2d(x[:, :8], unit.squeeze_upper.weight)
    both = functional.conv2d(
        up, unit.group_wise.weight, unit.group_wise.bias, padding=1, groups=2
    ) + functional.conv2d(up, unit.point_wise.weight)
    assert torch.allclose(rich, both, atol=1e-5)


@torch.no_grad()
def test_transposed_attention_against_loops() -> None:
    torch.manual_seed(5)
    unit = MDTA(8, heads=2)
    torch.nn.init.uniform_(unit.temperature, 0.5, 3.0)
    x = torch.randn(1, 8, 2, 3)
    positions = [(i, j) for i in range(2) for j in range(3)]
    normed = torch.stack([unit.norm.norm(x[0, :, i, j]) for i, j in positions], dim=1)
    pointwise = unit.qkv.weight[:, :, 0, 0] @ normed
    mixed = functional.conv2d(
        pointwise.view(1, 24, 2, 3), unit.depth_wise.weight, padding=1, groups=24
    ).view(24, 6)
    q, k, v = mixed[:8], mixed[8:16], mixed[16:]
    attended = torch.zeros(8, 6)
    for head in range(2):
        for row in range(4):
            a = q[4 * head + row] / q[4 * head + row].norm()
            scores = [
                float(a @ (k[4 * head + col] / k[4 * head + col].norm()))
                * float(unit.temperature[head].detach())
                for col in range(4)
            ]
            total = sum(math.exp(s) for s in scores)
            for col, score in enumerate(scores):
                attended[4 * head + row] += math.exp(score) / total * v[4 * head + col]
    expected = x + (unit.project.weight[:, :, 0, 0] @ attended).view(1, 8, 2, 3)
    assert torch.allclose(unit(x), expected, atol=1e-5)


def test_depth_wise_is_a_grouped_convolution() -> None:
    unit = DepthWise3x3(6)
    x = torch.randn(2, 6, 4, 5)
    grouped = functional.conv2d(x, unit.weight, padding=1, groups=6)
    assert torch.allclose(unit(x), grouped, atol=1e-6)


def test_backbone_is_taken_from_a_resnet50(network: RsmasNet) -> None:
    torch.manual_seed(6)
    other = resnet50(weights=None).eval()
    fresh = RsmasNet().eval()
    fresh.load_backbone(other.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        stem = other.maxpool(functional.relu(other.bn1(other.conv1(x))))
        wanted = other.layer3(other.layer2(other.layer1(stem)))
        got = fresh.layer3(fresh.layer2(fresh.layer1(fresh.stem(x))))
    assert torch.equal(wanted, got)
    state = dict(other.state_dict())
    del state["layer2.0.conv1.weight"]
    with pytest.raises(KeyError, match=r"layer2\.0\.conv1"):
        fresh.load_backbone(state)


def test_shipped_weights_give_the_same_answers_in_bfloat16() -> None:
    network, _ = load_network("rsmas_net")
    part = StenosisPart().render(5, CohortPlan(1, seed=2)).arrays["frames"][:, None]
    shown = torch.from_numpy(part)
    with torch.no_grad():
        exact = network(shown)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(shown)
    for wanted, got in zip(exact[:2], rough[:2], strict=True):
        assert got.dtype == torch.float32
        assert float((got - wanted).norm() / wanted.norm()) <= 1e-2
        assert float((got.softmax(1) - wanted.softmax(1)).abs().max()) <= 1e-2
