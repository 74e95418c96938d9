"""Spatial and channel reconstruction convolution.

Li, Wen and He, "SCConv: Spatial and Channel Reconstruction Convolution for Feature Redundancy",
CVPR 2023; written from the paper. Tensors are ``(B, C, H, W)`` and keep their shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

GATE = 0.5


class SpatialReconstruction(nn.Module):
    """SRU: separate informative from redundant positions, then cross the halves (section 3.1).

    ``r = sigmoid(w GN(x))`` with ``w_i = gamma_i / sum_j gamma_j`` (eq. 2 and 3; the formula is
    garbled in RSMAS-Net's paper). ``W1`` is 1 where ``r`` reaches the gate and 0 elsewhere, ``W2``
    is its complement. A step has no derivative; backwards the gate counts as ``r``, so that
    the normalisation's parameters learn [reconstruction].

    Parameters
    ----------
    channels
        Even, and divisible by `groups`.
    groups
        Of the group normalisation.
    """

    def __init__(self, channels: int, groups: int = 16) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)

    def gate(self, x: Tensor) -> Tensor:
        """Compute ``W1``, 0 or 1, of the shape of `x`."""
        gamma = self.norm.weight
        weights = (gamma / gamma.sum()).view(1, -1, 1, 1)
        share = torch.sigmoid(self.norm(x) * weights)
        hard = (share >= GATE).to(share.dtype)
        return share + (hard - share).detach() if share.requires_grad else hard

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape: ``cat(X1a + X2b, X1b + X2a)`` (eq. 5)."""
        kept = self.gate(x) * x
        informative = kept.chunk(2, dim=1)
        redundant = (x - kept).chunk(2, dim=1)
        return torch.cat([informative[0] + redundant[1], informative[1] + redundant[0]], dim=1)


class ChannelReconstruction(nn.Module):
    """CRU: split, transform and fuse the channels (section 3.2).

    Parameters
    ----------
    channels
        Width C.
    upper_share
        Share of the channels that the rich branch takes (alpha).
    squeeze
        Both branches are squeezed by this (r).
    groups, kernel
        Of the rich branch's group-wise convolution.
    """

    def __init__(
        self,
        channels: int,
        upper_share: float = 0.5,
        squeeze: int = 2,
        groups: int = 2,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        self.upper = int(upper_share * channels)
        self.lower = channels - self.upper
        rich, cheap = self.upper // squeeze, self.lower // squeeze
        self.squeeze_upper = nn.Conv2d(self.upper, rich, 1, bias=False)
        self.squeeze_lower = nn.Conv2d(self.lower, cheap, 1, bias=False)
        self.group_wise = nn.Conv2d(rich, channels, kernel, padding=kernel // 2, groups=groups)
        self.point_wise = nn.Conv2d(rich, channels, 1, bias=False)
        self.point_wise_lower = nn.Conv2d(cheap, channels - cheap, 1, bias=False)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Transform the two parts: ``Y1`` and ``Y2``, each ``(B, C, H, W)`` (eq. 6 and 7)."""
        upper = self.squeeze_upper(x[:, : self.upper])
        lower = self.squeeze_lower(x[:, self.upper :])
        rich = self.group_wise(upper) + self.point_wise(upper)
        return rich, torch.cat([self.point_wise_lower(lower), lower], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape: ``b1 Y1 + b2 Y2`` (eq. 8 to 10).

        ``b`` is the softmax of the pooled branches over the two branches, for each channel.
        """
        rich, cheap = self.branches(x)
        # The softmax over two is the sigmoid of their difference.
        share = torch.sigmoid((rich - cheap).mean((2, 3), keepdim=True))
        return cheap + share * (rich - cheap)


class SCConv(nn.Module):
    """SRU, then CRU; 1,903,616 parameters for 1024 channels.

    Parameters
    ----------
    channels
        Width, kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = SpatialReconstruction(channels)
        self.channel = ChannelReconstruction(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        out: Tensor = self.channel(self.spatial(x))
        return out


class SCConvBlock(nn.Module):
    """SCConv with batch normalisation, an identity shortcut and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = SCConv(channels)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return functional.relu(x + self.norm(self.convolution(x)))
