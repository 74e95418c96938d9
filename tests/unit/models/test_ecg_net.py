"""EcgNet: its size and cost, what its leads mean, and the same answer at low precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.ecg_net import EcgNet
from models.resnet1d import Bottleneck1d
from train.tasks.ecg_features import MACS


def _network() -> EcgNet:
    """A network whose every block does something: they begin as their shortcuts."""
    torch.manual_seed(0)
    network = EcgNet().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Bottleneck1d):
            nn.init.constant_(module.norm3.weight, 0.3)
    return network.to(memory_format=torch.channels_last)


def _windows(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    smooth = torch.randn(count, 12, 1008, generator=generator).unfold(2, 9, 1).mean(-1)
    return 1.5 * smooth


def test_size_and_cost() -> None:
    with torch.device("meta"):
        network = EcgNet().eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 12, 1000))
    assert sum(p.numel() for p in network.lead.parameters()) == 16_478_784
    assert sum(p.numel() for p in network.parameters()) == 18_062_401
    assert counter.get_total_flops() / 2 == pytest.approx(MACS, rel=1e-3)


def test_what_comes_out() -> None:
    network, windows = _network(), _windows(2)
    with torch.inference_mode():
        output = network(windows)
        maps = network.lead.maps(windows[0])
    assert maps.shape == (12, 2048, 32)
    assert output.score.shape == (2,)
    assert output.features.shape == (2, 256)
    assert output.tokens.shape == (2, 12, 256)
    assert output.attention.shape == (2, 2, 8, 13)
    torch.testing.assert_close(output.attention.sum(-1), torch.ones(2, 2, 8))


def test_leads_are_known_by_their_embedding_not_by_their_place() -> None:
    network, windows = _network(), _windows(1) * torch.linspace(0.1, 4.0, 12)[:, None]
    order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        nn.init.normal_(network.lead_embedding, std=1.0)
        expected = network(windows).score
        moved = network(windows[:, order], order[None]).score
        unknown = network(windows[:, order]).score
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    assert (unknown - expected).abs() > 20 * (moved - expected).abs() + 1e-4


def test_some_leads_do() -> None:
    with torch.inference_mode():
        output = _network()(_windows(2)[:, :4], torch.tensor([[0, 3, 6, 10], [1, 2, 6, 11]]))
    assert output.attention.shape == (2, 2, 8, 5)
    assert output.score.isfinite().all()


def test_bfloat16_agrees() -> None:
    network, windows = _network(), _windows(2)
    with torch.inference_mode():
        full = network(windows)
        with torch.autocast("cpu", torch.bfloat16):
            low = network(windows)
    difference = (low.features - full.features).norm() / full.features.norm()
    assert difference <= 1e-2
    assert low.score.dtype == torch.float32
