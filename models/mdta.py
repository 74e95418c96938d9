"""Multi-Dconv head transposed attention: attention between channels, not positions.

Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022,
section 3.1; written from the paper. Its cost grows linearly with the number of positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over the channels of each position of ``(B, C, H, W)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        out: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class DepthWise3x3(nn.Module):
    """3x3 convolution of each channel by itself, zero padded, no bias.

    Written as nine shifted products: on maps as small as 4x4 a CPU's backward pass through a
    grouped convolution takes a third of a training step.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        height, width = x.shape[2:]
        padded = functional.pad(x, (1, 1, 1, 1))
        weight = self.weight.to(x.dtype).view(1, -1, 3, 3, 1, 1)
        terms = [
            padded[:, :, i : i + height, j : j + width] * weight[:, :, i, j]
            for i in range(3)
            for j in range(3)
        ]
        return torch.stack(terms).sum(0)


class MDTA(nn.Module):
    """Transposed attention with a residual: ``x + W_p(V softmax(K Q * temperature))`` (eq. 1).

    4,224,008 parameters for 1024 channels and 8 heads.

    Parameters
    ----------
    channels, heads
        Width, and the number of groups that the channels are split into.
    """

    def __init__(self, channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ChannelLayerNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.depth_wise = DepthWise3x3(3 * channels)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def attention(self, q: Tensor, k: Tensor) -> Tensor:
        """Weights between the channels of each head, ``(B, heads, C/heads, C/heads)``.

        Parameters
        ----------
        q, k
            ``(B, heads, C/heads, H*W)``; each channel is brought to length 1 over the positions.
        """
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        return ((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        b, c, h, w = x.shape
        q, k, v = self.depth_wise(self.qkv(self.norm(x))).chunk(3, dim=1)
        q, k, v = (part.reshape(b, self.heads, c // self.heads, h * w) for part in (q, k, v))
        attended = (self.attention(q, k) @ v).reshape(b, c, h, w)
        out: Tensor = x + self.project(attended)
        return out
