"""DenseNet121 on virtual M-mode strips: septal flash or none.

After "Localizing cardiac dyssynchrony in M-mode echocardiography with attention maps" (FIMH 2023,
section 2.2): DenseNet121 (Huang et al., CVPR 2017) with two outputs and softmax, 256 x 256 inputs,
the training set's mean image subtracted, every layer trained. The paper starts from RadImageNet;
:func:`load_features` takes such weights where they are at hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import densenet121

CLASSES = ("absent", "present")
SIZE = 256
#: Pixels of the input that a cell of the last map stands for.
STRIDE = 32
_FIRST = "conv0.weight"
# names in weights of before torchvision 0.3: norm.1, conv.2
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class SeptalFlashNet(nn.Module):
    """Logits of absent and present for one strip; 6,955,906 parameters.

    Parameters
    ----------
    size
        Side of the input in pixels; only the mean image depends on it.
    """

    mean_image: Tensor

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        self.densenet = densenet121(weights=None, num_classes=len(CLASSES))
        self.register_buffer("mean_image", torch.full((1, 1, size, size), 64.0))

    def features(self, strips: Tensor) -> Tensor:
        """Compute the last map, which Grad-CAM++ looks at.

        Parameters
        ----------
        strips
            ``(B, 1, size, size)``, grey 0 to 255, uint8 or float. The mean image is subtracted
            here; the division by 255 is ours, for half precision's sake: the batch normalisation
            behind the first layer takes any scale away.

        Returns
        -------
        ``(B, 1024, size / 32, size / 32)``, 0 or more: 8 x 8 for 256 pixels.
        """
        grey = (strips.float() - self.mean_image) / 255.0
        return functional.relu(self.densenet.features(grey.expand(-1, 3, -1, -1)))

    def decide(self, last: Tensor) -> Tensor:
        """Map :meth:`features` to logits ``(B, 2)``."""
        logits: Tensor = self.densenet.classifier(last.mean((2, 3)))
        return logits.float()

    def evidence(self, last: Tensor) -> Tensor:
        """Compute what Grad-CAM++ shows of each class, up to a factor: ``(B, 2, h, w)``.

        Behind average pooling and a linear layer its weights are those of the layer, where they are
        positive.
        """
        weights = self.densenet.classifier.weight.clamp_min(0.0).float()
        return torch.einsum("ak,bkhw->bahw", weights, last.float())

    def forward(
        self, strips: Tensor, *, with_evidence: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Map strips, as in :meth:`features`, to logits ``(B, 2)`` in the order of CLASSES.

        Parameters
        ----------
        with_evidence
            Return logits and :meth:`evidence`, in one pass for training.
        """
        last = self.features(strips)
        logits = self.decide(last)
        return (logits, self.evidence(last)) if with_evidence else logits


def load_features(network: SeptalFlashNet, state: Mapping[str, Tensor]) -> None:
    """Start from the feature layers of another DenseNet121; its classifier is left aside.

    Parameters
    ----------
    network
        Changed in place.
    state
        A state dict of torchvision's DenseNet121 under any prefix (``features.`` as torchvision
        saves it, ``backbone.0.`` as RadImageNet does), with old or new names of the layers.

    Raises
    ------
    ValueError
        It is of another network.
    """
    prefixes = [key.removesuffix(_FIRST) for key in state if key.endswith(_FIRST)]
    if len(prefixes) != 1:
        raise ValueError("not the weights of a DenseNet")
    found = {
        _OLD_NAME.sub(r"\1\2.", key.removeprefix(prefixes[0])): value
        for key, value in state.items()
        if key.startswith(prefixes[0])
    }
    own = network.densenet.features.state_dict()
    taken = {key: found[key] for key in own if key in found}
    wrong = [
        key
        for key, value in own.items()
        if not key.endswith("num_batches_tracked")
        and (key not in taken or taken[key].shape != value.shape)
    ]
    if wrong or len(found) > len(own) + 2:  # two of the classifier, where there is no prefix
        first = wrong[0] if wrong else "too many layers"
        raise ValueError(f"not the weights of a DenseNet121: {first}")
    network.densenet.features.load_state_dict({**own, **taken})


def resize_state(state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Carry weights to another input size: the mean image is interpolated."""
    mean = functional.interpolate(
        state["mean_image"].float(), size=(size, size), mode="bilinear", align_corners=False
    )
    return {**state, "mean_image": mean.to(state["mean_image"].dtype)}
