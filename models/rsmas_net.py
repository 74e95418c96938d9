"""RSMAS-Net: aortic stenosis from single echo frames.

After "RSMAS-Net" (Frontiers in Medicine 2025, 1587307): ResNet50 whose fourth stage is replaced by
SCConv and MDTA, then average pooling and a linear layer. The paper doesn't give the stage's
wiring; this one is a reconstruction that matches its parameter count. The paper trains one network
for each of its two questions; here they are two linear heads on one trunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from models.mdta import MDTA
from models.scconv import SCConvBlock

SIZE = 112
VIEWS = ("PLAX", "PSAX", "A4C", "A2C")
WIDTH = 1024
#: Least standard deviation of grey that a frame is divided by: an almost blank one stays so.
_LEAST_STD = 4.0


class StenosisLogits(NamedTuple):
    """Two questions, two logits each, ``(B, 2)``.

    Attributes
    ----------
    stenosis
        None, any.
    severity
        Mild to moderate, severe: if there is one.
    evidence
        For each answer, in training only: see :meth:`RsmasNet.evidence`.
    """

    stenosis: Tensor
    severity: Tensor
    evidence: Tensor | None = None


class ReconstructionStage(nn.Sequential):
    """The stage in the place of ResNet50's fourth [reconstruction, configuration A].

    1x1 convolution with stride 2, two SCConv blocks, MDTA; ``(B, 1024, H, W)`` to
    ``(B, 1024, H/2, W/2)``, rounded up.
    """

    def __init__(self, channels: int = WIDTH, heads: int = 8) -> None:
        super().__init__(
            nn.Sequential(
                nn.Conv2d(channels, channels, 1, stride=2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ),
            SCConvBlock(channels),
            SCConvBlock(channels),
            MDTA(channels, heads),
        )


class RsmasNet(nn.Module):
    """Aortic stenosis in frames of ``112 x 112``: 17.63 M parameters, 0.97 G multiply-adds.

    Parameters
    ----------
    dropout
        Probability to drop a pooled feature before the heads, in training.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        backbone = resnet50(weights=None)
        self.stem = nn.Sequential(
            backbone.conv1, backbone.bn1, nn.ReLU(inplace=True), backbone.maxpool
        )
        self.layer1, self.layer2, self.layer3 = backbone.layer1, backbone.layer2, backbone.layer3
        self.stage4 = ReconstructionStage()
        self.dropout = nn.Dropout(dropout)
        self.stenosis = nn.Linear(WIDTH, 2)
        self.severity = nn.Linear(WIDTH, 2)

    def features(self, frames: Tensor) -> Tensor:
        """Compute the last feature map, which Grad-CAM++ looks at.

        Parameters
        ----------
        frames
            ``(B, 1, 112, 112)``, grey 0 to 255, uint8 or float. Each frame is brought to mean 0
            and standard deviation 1 here and repeated to three channels, so that weights trained
            on ImageNet fit.

        Returns
        -------
        ``(B, 1024, 4, 4)``, the output of MDTA.
        """
        grey = frames.float()
        mean = grey.mean((2, 3), keepdim=True)
        std = grey.std((2, 3), keepdim=True, correction=0).clamp_min(_LEAST_STD)
        with torch.autocast(frames.device.type, enabled=False):
            # bfloat16 would round the grey levels themselves: most of the error in an answer
            fine = self.layer1[0](self.stem(((grey - mean) / std).expand(-1, 3, -1, -1)))
        out: Tensor = self.stage4(self.layer3(self.layer2(self.layer1[1:](fine))))
        return out

    def pooled(self, last: Tensor) -> Tensor:
        """Average the last feature map over its positions: ``(B, 1024)``."""
        return last.mean((2, 3))

    def decide(self, last: Tensor) -> StenosisLogits:
        """Map the last feature map to the logits of both questions."""
        pooled = self.dropout(self.pooled(last))
        return StenosisLogits(self.stenosis(pooled).float(), self.severity(pooled).float())

    def forward(self, frames: Tensor) -> StenosisLogits:
        """Map frames, as in :meth:`features`, to the logits of both questions."""
        last = self.features(frames)
        logits = self.decide(last)
        return logits._replace(evidence=self.evidence(last)) if self.training else logits

    def evidence(self, last: Tensor) -> Tensor:
        """Compute what the Grad-CAM++ of each answer shows, before its negative part is cut off.

        Behind average pooling and a linear layer the weights of Grad-CAM++ are those of the layer,
        where they are positive.

        Returns
        -------
        None, any, mild to moderate, severe: ``(B, 4, h, w)``.
        """
        weights = torch.cat([self.stenosis.weight, self.severity.weight]).clamp_min(0.0)
        return torch.einsum("ak,bkhw->bahw", weights.float(), last.float())

    def load_backbone(self, state: Mapping[str, Tensor]) -> None:
        """Take stem and layer1 to layer3 from a ResNet50, e.g. one trained on ImageNet.

        Parameters
        ----------
        state
            State dict with torchvision's names (``torchvision.models.resnet50``), as in
            ``torch.load("resnet50.pth", weights_only=True)``; ``layer4`` and ``fc`` are ignored.

        Raises
        ------
        KeyError
            A weight of stem or layers is missing.
        """
        names = {"stem.0": "conv1", "stem.1": "bn1"}
        own = self.state_dict()
        taken = {}
        for name in own:
            part, _, rest = name.partition(".")
            if part == "stem":
                number, _, leaf = rest.partition(".")
                taken[name] = state[f"{names[f'stem.{number}']}.{leaf}"]
            elif part in ("layer1", "layer2", "layer3"):
                taken[name] = state[name]
        with torch.no_grad():
            self.load_state_dict({**own, **taken})
