"""Calcified or not: MobileNetV3-Large without pooling, on the crop of the aortic valve.

The paper flattens the 7x7 map instead of pooling it (pooling was much worse there), then has 120
neurons and one; 8,616,993 parameters. Its features start from ImageNet, ours from nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v3_large

CHANNELS = 960
_CELLS = 7
_HIDDEN = 120


class ValveClassifier(nn.Module):
    """The logit of calcification.

    Parameters
    ----------
    dropout
        Probability to drop a number of the flattened map and of the hidden layer, in training
        [reconstruction].
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.backbone = mobilenet_v3_large(weights=None).features
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(CHANNELS * _CELLS * _CELLS, _HIDDEN)
        self.head = nn.Linear(_HIDDEN, 1)

    def features(self, crops: Tensor) -> Tensor:
        """Compute the last feature map, which Grad-CAM looks at.

        Parameters
        ----------
        crops
            ``(B, 1, 224, 224)``, grey 0 to 255 with minimum 0 (:func:`crop_valve`), uint8 or
            float; brought to -1 to 1 and to three channels here. A training may begin with
            smaller ones: their map is enlarged.

        Returns
        -------
        ``(B, 960, 7, 7)``.
        """
        x = (crops.float() / 127.5 - 1).expand(-1, 3, -1, -1)
        maps: Tensor = self.backbone(x)
        if maps.shape[-1] != _CELLS:
            maps = functional.interpolate(maps, size=(_CELLS, _CELLS), mode="bilinear")
        return maps

    def decide(self, maps: Tensor) -> Tensor:
        """Map the last feature map to logits ``(B,)``, float32."""
        hidden = torch.relu(self.hidden(self.dropout(maps.flatten(1))))
        logits: Tensor = self.head(self.dropout(hidden))[:, 0]
        return logits.float()

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops, as in :meth:`features`, to logits ``(B,)``."""
        return self.decide(self.features(crops))
