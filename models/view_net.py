"""The view of one echo frame: a small 2D residual network.

A network of our own. It looks at single frames; the finding averages its probabilities over a
clip, because single frames of real cines are recognised less reliably than whole clips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.blocks import initialise

VIEWS = ("PLAX", "PSAX", "A4C", "A2C", "other")
SIZE = 112


class FrameBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut, at full or half resolution."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the block's channels and resolution."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ViewNet(nn.Module):
    """Logits of the five views for frames of ``112 x 112``; 1.2 M parameters.

    Parameters
    ----------
    dropout
        Probability to drop a feature before the last layer, in training.
    """

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, padding=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        plan = ((16, 24, 2), (24, 48, 1), (48, 96, 2), (96, 128, 1), (128, 176, 2))
        self.blocks = nn.Sequential(*(FrameBlock(*step) for step in plan))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * plan[-1][1], len(VIEWS))
        self.apply(initialise)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def features(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the feature maps.

        Parameters
        ----------
        frames
            ``(B, 1, 112, 112)``, grey 0 to 255, uint8 or float; each frame is brought to mean 0
            and standard deviation 1 here.

        Returns
        -------
        The 14x14 map ``(B, 128, 14, 14)`` that Grad-CAM looks at, and the last ``(B, 176, 7, 7)``.
        """
        grey = frames.float()
        mean = grey.mean((2, 3), keepdim=True)
        std = grey.std((2, 3), keepdim=True, correction=0).clamp_min(4.0)
        x = self.stem((grey - mean) / std)
        middle = self.blocks[:-1](x)
        return middle, self.blocks[-1](middle)

    def pooled(self, last: Tensor) -> Tensor:
        """Reduce the last feature map ``(B, 176, 7, 7)`` to means and maxima ``(B, 352)``."""
        return torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)

    def decide(self, last: Tensor) -> Tensor:
        """Map the last feature map ``(B, 176, 7, 7)`` to logits ``(B, 5)``."""
        logits: Tensor = self.head(self.dropout(self.pooled(last)))
        return logits.float()

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames, as in :meth:`features`, to logits ``(B, 5)`` in the order of VIEWS."""
        return self.decide(self.features(frames)[1])
