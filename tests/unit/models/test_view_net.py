"""ViewNet: small and cheap, and indifferent to gain and offset."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.view_net import VIEWS, ViewNet


def test_size_and_cost() -> None:
    network = ViewNet().eval()
    assert sum(p.numel() for p in network.parameters()) == 949_733
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 1, 112, 112))
    assert counter.get_total_flops() / 2 < 0.15e9


def test_a_linear_change_of_grey_does_not_matter() -> None:
    torch.manual_seed(0)
    network = ViewNet().eval()
    frames = torch.rand(2, 1, 112, 112) * 100
    with torch.inference_mode():
        logits, changed = network(frames), network(1.7 * frames + 20)
        middle, last = network.features(frames)
    assert logits.shape == (2, len(VIEWS))
    torch.testing.assert_close(logits, changed, rtol=1e-3, atol=1e-4)
    assert middle.shape[2:] == (14, 14)
    assert last.shape[2:] == (7, 7)


def test_a_black_frame_gives_finite_logits() -> None:
    with torch.inference_mode():
        assert ViewNet().eval()(torch.zeros(1, 1, 112, 112, dtype=torch.uint8)).isfinite().all()
