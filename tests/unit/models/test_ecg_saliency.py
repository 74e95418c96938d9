"""The two-phase map: attention to leads times Grad-CAM in time."""

from __future__ import annotations

import torch

from models.ecg_net import EcgNet
from models.ecg_saliency import lead_weights, two_phase_map


def test_shapes_range_and_shares() -> None:
    torch.manual_seed(3)
    network = EcgNet(layers=1).eval()
    found = two_phase_map(network, torch.randn(2, 12, 1000))
    assert found.heat.shape == (2, 12, 1000)
    assert found.heat.min() >= 0
    assert float(found.heat.max()) == 1.0
    torch.testing.assert_close(found.lead_weights.sum(1), torch.ones(2))
    assert all(p.grad is None for p in network.parameters())


def test_the_heat_is_where_the_score_comes_from() -> None:
    """With a score that grows with one channel of the map, the heat follows that channel."""
    torch.manual_seed(4)
    network = EcgNet(layers=1).eval().requires_grad_(False)
    windows = torch.zeros(1, 12, 1000)
    windows[0, 5, 600:640] = 3.0  # the only thing that happens
    found = two_phase_map(network, windows).heat[0]
    flipped = EcgNet(layers=1).eval().requires_grad_(False)
    flipped.load_state_dict(network.state_dict())
    flipped.head.weight.neg_()
    opposite = two_phase_map(flipped, windows).heat[0]
    changed = (found[5] - found[5, 0]).abs() + (opposite[5] - opposite[5, 0]).abs()
    assert 500 <= int(changed.argmax()) <= 740


def test_lead_weights_leave_out_the_class_token() -> None:
    attention = torch.zeros(1, 2, 4, 13)
    attention[:, 0, :, 1] = 1.0  # an earlier layer does not count
    attention[:, 1, :, 0] = 0.6
    attention[:, 1, :2, 7] = 0.4
    attention[:, 1, 2:, 8] = 0.4
    weights = lead_weights(attention)
    assert weights.shape == (1, 12)
    torch.testing.assert_close(weights[0, 6:8], torch.tensor([0.5, 0.5]))
