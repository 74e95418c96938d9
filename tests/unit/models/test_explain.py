"""Heatmaps have the input's shape, lie in 0 to 1, and follow what decides."""

from __future__ import annotations

import torch

from models.echo_e3net import EchoE3Net
from models.explain import activation_gradient, grad_cam
from models.view_net import ViewNet


def test_grad_cam_covers_each_frame() -> None:
    torch.manual_seed(0)
    heat = grad_cam(ViewNet().eval(), torch.rand(3, 1, 112, 112) * 255, view=2)
    assert heat.shape == (3, 112, 112)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert not heat.requires_grad


def test_activation_gradient_covers_each_clip() -> None:
    torch.manual_seed(0)
    network = EchoE3Net(64).eval()
    clips = torch.zeros(2, 1, 32, 64, 64)
    clips[:, :, :, 16:32, 32:48] = 200
    heat = activation_gradient(network, clips)
    assert heat.shape == (2, 32, 64, 64)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert heat.flatten(1).amax(1).min() > 0.5
    assert all(p.grad is None for p in network.parameters())
