"""A detector of the aortic valve with the shape of YOLOv5s (depth x0.33, width x0.50).

Written from the published architecture: CSP backbone, PAN neck, three maps with three anchors
each; 7,022,326 parameters for one class.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.yolo.anchors import PER_CELL, STRIDES, decode
from models.yolo.blocks import C3, SPPF, Conv

SIZE = 640
CLASSES = 1
#: Width of the pooled features: channels of the three maps.
FEATURES = 128 + 256 + 512
#: Objects that an image of 640 pixels is expected to hold, for the first guess of objectness.
_EXPECTED_OBJECTS = 8.0
_EXPECTED_CLASS = 0.6


class Backbone(nn.Module):
    """Five halvings; hands out the maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv(3, 32, 6, 2, 2)
        self.stage2 = nn.Sequential(Conv(32, 64, 3, 2), C3(64, 64, 1))
        self.stage3 = nn.Sequential(Conv(64, 128, 3, 2), C3(128, 128, 2))
        self.stage4 = nn.Sequential(Conv(128, 256, 3, 2), C3(256, 256, 3))
        self.stage5 = nn.Sequential(Conv(256, 512, 3, 2), C3(512, 512, 1), SPPF(512))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, 3, S, S)`` to 128, 256 and 512 channels at S/8, S/16 and S/32."""
        third = self.stage3(self.stage2(self.stem(x)))
        fourth = self.stage4(third)
        return third, fourth, self.stage5(fourth)


class Neck(nn.Module):
    """Path aggregation: meaning goes down to fine maps, position back up to coarse ones."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce5 = Conv(512, 256)
        self.down4 = C3(512, 256, 1, shortcut=False)
        self.reduce4 = Conv(256, 128)
        self.down3 = C3(256, 128, 1, shortcut=False)
        self.enlarge3 = Conv(128, 128, 3, 2)
        self.up4 = C3(256, 256, 1, shortcut=False)
        self.enlarge4 = Conv(256, 256, 3, 2)
        self.up5 = C3(512, 512, 1, shortcut=False)

    def forward(self, third: Tensor, fourth: Tensor, fifth: Tensor) -> list[Tensor]:
        """Keep the shapes of the backbone's maps."""
        top = self.reduce5(fifth)
        middle = self.reduce4(self.down4(torch.cat([_doubled(top), fourth], 1)))
        out3 = self.down3(torch.cat([_doubled(middle), third], 1))
        out4 = self.up4(torch.cat([self.enlarge3(out3), middle], 1))
        out5 = self.up5(torch.cat([self.enlarge4(out4), top], 1))
        return [out3, out4, out5]


class ValveDetector(nn.Module):
    """Finds the aortic valve in a sector image."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck()
        self.heads = nn.ModuleList(
            nn.Conv2d(channels, PER_CELL * (5 + CLASSES), 1) for channels in (128, 256, 512)
        )
        self._guess_first()

    def features(self, frames: Tensor) -> list[Tensor]:
        """Maps of the neck.

        Parameters
        ----------
        frames
            Grey 0 to 255, uint8 or float, ``(B, 1, S, S)`` with S a multiple of 32; divided by 255
            and repeated to three channels here.

        Returns
        -------
        ``(B, 128, S/8, S/8)``, ``(B, 256, S/16, S/16)``, ``(B, 512, S/32, S/32)``.
        """
        x = (frames.float() / 255).expand(-1, 3, -1, -1)
        maps: list[Tensor] = self.neck(*self.backbone(x))
        return maps

    def outputs(self, maps: list[Tensor]) -> list[Tensor]:
        """Raw outputs of the heads: ``(B, 3, rows, columns, 6)`` for each map of the neck."""
        out = []
        for head, x in zip(self.heads, maps, strict=True):
            raw = head(x)
            batch, _, rows, columns = raw.shape
            split = raw.reshape(batch, PER_CELL, 5 + CLASSES, rows, columns)
            out.append(split.permute(0, 1, 3, 4, 2))
        return out

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Map frames, as in :meth:`features`, to the raw outputs that the loss is made of."""
        return self.outputs(self.features(frames))

    def candidates(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """All boxes before suppression, and pooled features.

        Returns
        -------
        float32 ``(B, N, 5)``: x0, y0, x1, y1 in pixels and score; ``(B, 896)``.
        """
        maps = self.features(frames)
        pooled = torch.cat([x.mean((2, 3)) for x in maps], dim=1)
        return decode(self.outputs(maps)), pooled

    def _guess_first(self) -> None:
        """Start from rare objects, so that the first steps are not spent on unlearning them."""
        for head, stride in zip(self.heads, STRIDES, strict=True):
            if isinstance(head, nn.Conv2d) and head.bias is not None:
                bias = head.bias.detach().view(PER_CELL, 5 + CLASSES)
                bias[:, 4] += log(_EXPECTED_OBJECTS / (SIZE / stride) ** 2)
                bias[:, 5:] += log(_EXPECTED_CLASS / (CLASSES - 0.99999))


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
