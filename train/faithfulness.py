"""Does a heatmap point at what the network uses? Deletion and insertion for chest films.

Front. Radiol. 2025, 1698680: the most salient share of a film's pixels is replaced by a blurred
film (deletion), or put back into it (insertion), and the score's change is averaged over shares
(AOPC: Samek et al., IEEE TNNLS 2017, equation 12). The paper's list of shares is garbled and its
blur is not stated, so both are parameters [reconstruction]. Maps of random patches of the same area
tell how much of the change any map would make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from models.cam import enlarged, grad_cam
from models.cxr_net import CxrNet
from train.metrics import bootstrap

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
_BLUR_SIGMA = 12.0  # pixels of 224
_MAP_SIDE = 7  # of the network's last map: random maps are as coarse


@dataclass(frozen=True, slots=True)
class Aopc:
    """Mean change of the score over shares, ``(N,)`` each, in the direction that the map claims.

    Attributes
    ----------
    deletion, insertion
        With the network's own map.
    random_deletion, random_insertion
        With a random map.
    """

    deletion: npt.NDArray[np.float64]
    insertion: npt.NDArray[np.float64]
    random_deletion: npt.NDArray[np.float64]
    random_insertion: npt.NDArray[np.float64]


def measure_aopc(
    network: CxrNet,
    films: npt.NDArray[np.uint8],
    shares: tuple[float, ...] = SHARES,
    sigma: float = _BLUR_SIGMA,
    seed: int = 0,
) -> Aopc:
    """Measure how faithful Grad-CAM is on some films.

    Parameters
    ----------
    network
        In evaluation mode.
    films
        ``(N, 1, 224, 224)``.
    shares
        Of the pixels that are exchanged, in order.
    sigma
        Of the blur, pixels.
    seed
        Of the random maps.
    """
    grey = torch.from_numpy(films).float()
    side = 2 * round(3 * sigma) + 1
    blurred = gaussian_blur(grey, [side, side], [sigma, sigma])
    maps = cam_of(network, grey)
    noise = torch.rand(len(grey), _MAP_SIDE, _MAP_SIDE, generator=_generator(seed))
    random = enlarged(noise, (grey.shape[-2], grey.shape[-1]))
    numbers = [
        _change(network, start, other, heat, shares).numpy().astype(np.float64)
        for heat in (maps, random)
        for start, other in ((grey, blurred), (blurred, grey))
    ]
    return Aopc(-numbers[0], numbers[1], -numbers[2], numbers[3])


def faithfulness_of(network: CxrNet, films: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return the four numbers with intervals over films, for the card."""
    found = measure_aopc(network, films)
    numbers = {
        "grad_cam_deletion_aopc": found.deletion,
        "random_deletion_aopc": found.random_deletion,
        "grad_cam_insertion_aopc": found.insertion,
        "random_insertion_aopc": found.random_insertion,
    }
    each = range(len(films))
    return {name: bootstrap(_mean, (values,), each).as_json() for name, values in numbers.items()}


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean())


def cam_of(network: CxrNet, films: Tensor) -> Tensor:
    """Grad-CAM of the score at the films' size, ``(N, 224, 224)``."""
    maps = network.features(films).detach().requires_grad_()
    heat = grad_cam(maps, network.decide(network.pooled(maps)))
    return enlarged(heat, (films.shape[-2], films.shape[-1]))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _change(
    network: CxrNet, start: Tensor, other: Tensor, heat: Tensor, shares: tuple[float, ...]
) -> Tensor:
    """Mean over shares of the score after the exchange minus before; no exchange counts as 0."""
    order = heat.flatten(1).argsort(1, descending=True)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(order.shape[1]).expand_as(order))
    with torch.inference_mode():
        before = network(start)
        total = torch.zeros_like(before)
        for share in shares:
            chosen = (rank < round(share * order.shape[1])).view_as(heat)[:, None]
            total += network(torch.where(chosen, other, start)) - before
    return total / (len(shares) + 1)
