"""The two networks of stenosis screening side by side, as they are trained together."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from models.cxr_net import Backbone, CxrNet
from models.ecg_net import EcgNet


class FusionOutput(NamedTuple):
    """Scores of N patients.

    Attributes
    ----------
    ecg, xray
        f_e and f_x, ``(N,)``: what each modality adds.
    """

    ecg: Tensor
    xray: Tensor

    @property
    def prediction(self) -> Tensor:
        """f_e + f_x, fitted to 0 or 1."""
        return self.ecg + self.xray


class StenosisFusion(nn.Module):
    """EcgNet and CxrNet whose scores add up; 21.4 M parameters with EfficientNet-Lite0.

    After "Multimodal early detection of aortic stenosis using deep learning on ECG and chest
    X-ray with cooperative learning" (Front. Radiol. 2025, 1698680). The networks share nothing:
    each is exported, loaded and explained by itself.
    """

    def __init__(self, backbone: Backbone = "efficientnet_lite0") -> None:
        super().__init__()
        self.ecg = EcgNet()
        self.xray = CxrNet(backbone)

    def forward(self, windows: Tensor, films: Tensor) -> FusionOutput:
        """Score patients.

        Parameters
        ----------
        windows
            ``(N, 12, 1000)``, as of :class:`models.ecg_net.EcgNet`.
        films
            ``(N, 1, 224, 224)``, as of :class:`models.cxr_net.CxrNet`.
        """
        return FusionOutput(self.ecg(windows).score, self.xray(films))
