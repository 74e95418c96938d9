"""The chest X-ray network of stenosis screening: EfficientNet features and one score.

After "Multimodal early detection of aortic stenosis using deep learning on ECG and chest X-ray
with cooperative learning" (Front. Radiol. 2025, 1698680): films of 224 x 224, an EfficientNet that
starts from ImageNet, one output. The paper does not state the variant, so it is a choice
[reconstruction]: EfficientNet-Lite0, whose ImageNet weights come as a package, or B0.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torchvision.models import efficientnet_b0

from models.efficientnet_lite import FEATURES, EfficientNetLite0

Backbone = Literal["efficientnet_lite0", "efficientnet_b0"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)
SIZE = 224

#: Mean and standard deviation of grey (0 to 255) that the ImageNet weights expect.
_GREY: dict[Backbone, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "efficientnet_lite0": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "efficientnet_b0": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


class CxrNet(nn.Module):
    """One score for a PA chest film; 3.41 M parameters with Lite0, 4.01 M with B0.

    Parameters
    ----------
    backbone
        Which EfficientNet.
    dropout
        Probability to drop a feature before the last layer, in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone = "efficientnet_lite0", dropout: float = 0.2) -> None:
        super().__init__()
        if backbone == "efficientnet_b0":
            self.backbone: nn.Module = efficientnet_b0(weights=None).features
        else:
            self.backbone = EfficientNetLite0()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        mean, std = _GREY[backbone]
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, self.head.weight.new_tensor(value)[:, None, None])

    def features(self, films: Tensor) -> Tensor:
        """Compute the last feature map.

        Parameters
        ----------
        films
            ``(B, 1, S, S)``, S divisible by 32 (224 by default), grey 0 to 255, air dark, uint8
            or float; normalised here.

        Returns
        -------
        ``(B, 1280, S / 32, S / 32)``, what Grad-CAM looks at.
        """
        maps: Tensor = self.backbone((films.float() - self.mean) / self.std)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """Average the last map over the film: ``(B, 1280)``."""
        return maps.mean((2, 3)).float()

    def decide(self, pooled: Tensor) -> Tensor:
        """Map pooled features ``(B, 1280)`` to scores ``(B,)``: f_x of the cooperative learning."""
        scores: Tensor = self.head(self.dropout(pooled))
        return scores[:, 0].float()

    def forward(self, films: Tensor) -> Tensor:
        """Map films, as in :meth:`features`, to scores ``(B,)``."""
        return self.decide(self.pooled(self.features(films)))
