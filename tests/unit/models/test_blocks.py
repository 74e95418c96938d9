"""The attention blocks keep shapes and depend on their tokens."""

from __future__ import annotations

import torch

from models.blocks import ChannelAttention, LargeKernelAttention, SpatialAttention


def test_attention_keeps_the_shape() -> None:
    tokens = torch.randn(2, 24, 16)
    assert SpatialAttention(24, 16, heads=4, proj_size=6)(tokens).shape == tokens.shape
    assert ChannelAttention(16, heads=4)(tokens).shape == tokens.shape
    volume = torch.randn(1, 8, 4, 10, 10)
    assert LargeKernelAttention(8, (5, 7), dilation=3)(volume).shape == volume.shape
    assert LargeKernelAttention(8, (3, 0))(volume).shape == volume.shape


def test_spatial_attention_mixes_tokens() -> None:
    torch.manual_seed(0)
    attention = SpatialAttention(24, 16, heads=4, proj_size=6)
    tokens = torch.randn(1, 24, 16)
    changed = tokens.clone()
    changed[0, 5] += 1
    difference = (attention(tokens) - attention(changed)).abs().sum(-1)[0]
    assert difference[0] > 0
