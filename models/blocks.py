"""Building blocks of the video networks: residual convolutions and hybrid attention.

After the encoder of LHU-Net (Sadegheih et al., "LHU-Net: a lean hybrid U-Net", 2024), written
from its published description and configurations. Tensors are ``(B, C, T, H, W)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with batch normalisation and a shortcut.

    Parameters
    ----------
    channels_in, channels_out
        Widths; a 1x1x1 convolution with normalisation joins them when they differ.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm3d(channels_out)
        self.conv2 = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm3d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels_in, channels_out, 1, bias=False), nn.BatchNorm3d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, T, H, W)`` to ``(B, channels_out, T, H, W)``."""
        y = functional.leaky_relu(self.norm1(self.conv1(x)), 0.01, inplace=True)
        y = self.norm2(self.conv2(y))
        return functional.leaky_relu(y + self.shortcut(x), 0.01)


class LargeKernelAttention(nn.Module):
    """A gate from depth-wise convolutions, multiplied onto its input (Guo et al., "VAN", 2022).

    Parameters
    ----------
    dim
        Channels.
    kernels
        Sizes of the depth-wise kernel and of the dilated depth-wise kernel, which is left out
        when 0.
    dilation
        Dilation of the second.
    """

    def __init__(self, dim: int, kernels: tuple[int, int], dilation: int = 1) -> None:
        super().__init__()
        local, distant = kernels
        self.project = nn.Conv3d(dim, dim, 1)
        self.local = nn.Conv3d(dim, dim, local, padding=local // 2, groups=dim)
        self.distant: nn.Module = nn.Identity()
        if distant:
            reach = dilation * (distant - 1) // 2
            self.distant = nn.Conv3d(
                dim, dim, distant, padding=reach, dilation=dilation, groups=dim
            )
        self.mix = nn.Conv3d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, dim, T, H, W)`` to the same shape."""
        u = functional.gelu(self.project(x))
        gate: Tensor = self.mix(self.distant(self.local(u)))
        return u * gate


class SpatialAttention(nn.Module):
    """Attention among tokens whose keys and values are projected to few tokens.

    Parameters
    ----------
    tokens, dim, heads
        Token count of the input, channels, heads.
    proj_size
        Tokens that keys and values are projected to; the weight depends on the token count.
    """

    def __init__(self, tokens: int, dim: int, heads: int, proj_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.token_projection = nn.Linear(tokens, proj_size)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B, N, dim)`` to the same shape."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 4, 1)
        q = functional.normalize(q.transpose(-2, -1), dim=-1)  # (B, heads, N, d_h)
        k = self.token_projection(k)  # (B, heads, d_h, p)
        v = self.token_projection(v)
        weights = ((q @ k) * self.temperature).softmax(dim=-1)  # (B, heads, N, p)
        y = (weights @ v.transpose(-2, -1)).permute(0, 2, 1, 3).reshape(b, n, d)
        out: Tensor = self.out(self.norm(y))
        return out


class ChannelAttention(nn.Module):
    """Attention among the channels of each head.

    Parameters
    ----------
    dim, heads
        Channels, and the groups they are split into.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B, N, dim)`` to the same shape."""
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 4, 1)
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        weights = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1)
        y = (weights @ v).permute(0, 3, 1, 2).reshape(b, n, d)
        out: Tensor = self.out(self.norm(y))
        return out


class HybridAttention(nn.Module):
    """Large-kernel attention beside token attention, joined by learnable scales.

    Parameters
    ----------
    dim
        Channels.
    grid
        ``(T, H, W)`` of the input at construction; the position embedding and a token projection
        depend on it.
    large_kernel, tokens
        The two branches; `tokens` maps ``(B, N, dim)`` to the same shape.
    """

    def __init__(self, dim: int, grid: Triple, large_kernel: nn.Module, tokens: nn.Module) -> None:
        super().__init__()
        self.grid = grid
        self.position = nn.Parameter(torch.full((1, grid[0] * grid[1] * grid[2], dim), 1e-6))
        self.norm = nn.LayerNorm(dim)
        self.large_kernel = large_kernel
        self.tokens = tokens
        self.delta = nn.Parameter(torch.ones(1, dim, 1, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, dim, 1, 1, 1))
        self.mixer = ResidualBlock(dim, dim)
        self.project = nn.Conv3d(dim, dim, 1)
        self.out_norm = nn.BatchNorm3d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, dim, T, H, W)`` to the same shape; ``(T, H, W)`` must be the grid."""
        flat = x.flatten(2).transpose(1, 2)  # (B, N, dim)
        attended = self.tokens(self.norm(flat + self.position))
        attended = attended.transpose(1, 2).reshape(x.shape)
        y = x + self.delta * self.large_kernel(x) + self.gamma * (x * attended)
        y = y + self.mixer(y)
        out: Tensor = self.out_norm(self.project(y))
        return out


class ConvolutionStage(nn.Module):
    """A residual block, then max pooling."""

    def __init__(self, channels_in: int, channels_out: int, stride: Triple) -> None:
        super().__init__()
        self.block = ResidualBlock(channels_in, channels_out)
        self.pool = nn.MaxPool3d(stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, T, H, W)`` to the stage's channels and reduced grid."""
        out: Tensor = self.pool(self.block(x))
        return out


class HybridStage(nn.Module):
    """A convolution stage, hybrid attention with a skip, and a residual block."""

    def __init__(
        self, channels: tuple[int, int], stride: Triple, attention: HybridAttention
    ) -> None:
        super().__init__()
        self.down = ConvolutionStage(channels[0], channels[1], stride)
        self.attention = attention
        self.block = ResidualBlock(channels[1], channels[1])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, T, H, W)`` to the stage's channels and reduced grid."""
        x = self.down(x)
        out: Tensor = self.block(x + self.attention(x))
        return out


class Perceptron(nn.Sequential):
    """Linear layers with GELU between them."""

    def __init__(self, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.GELU()]
        super().__init__(*layers[:-1])


def initialise(module: nn.Module) -> None:
    """Draw the weights of one convolution or linear layer as LHU-Net does: normal, std 0.02.

    Use it with ``network.apply(initialise)``.
    """
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
