"""The building blocks of a YOLOv5-shaped network: Conv, Bottleneck, C3 and SPPF."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_POOL = 5


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, SiLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride,
            kernel // 2 if padding is None else padding,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, channels_out, H / stride, W / stride)``."""
        return functional.silu(self.norm(self.conv(x)))


class Bottleneck(nn.Module):
    """A 1x1 and a 3x3 convolution of equal width, with a residual in the backbone."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = Conv(channels, channels)
        self.conv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape ``(B, channels, H, W)``."""
        y: Tensor = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage partial block with three 1x1 convolutions.

    One half of the channels passes `count` bottlenecks, the other none; both are joined.
    """

    def __init__(
        self, channels_in: int, channels_out: int, count: int = 1, shortcut: bool = True
    ) -> None:
        super().__init__()
        half = channels_out // 2
        self.through = Conv(channels_in, half)
        self.beside = Conv(channels_in, half)
        self.join = Conv(2 * half, channels_out)
        self.bottlenecks = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, channels_out, H, W)``."""
        y: Tensor = self.join(torch.cat([self.bottlenecks(self.through(x)), self.beside(x)], 1))
        return y


class SPPF(nn.Module):
    """Spatial pyramid pooling, fast: three chained max-pools of 5 see 5, 9 and 13 cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = Conv(channels, channels // 2)
        self.join = Conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape ``(B, channels, H, W)``."""
        pooled = [self.reduce(x)]
        for _ in range(3):
            pooled.append(functional.max_pool2d(pooled[-1], _POOL, 1, _POOL // 2))
        y: Tensor = self.join(torch.cat(pooled, 1))
        return y
