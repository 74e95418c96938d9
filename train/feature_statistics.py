"""Measures the features of the validation patients, for the card: what is unusual later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.unusual import FeatureStatistics
from train.scoring.chunks import chunks

if TYPE_CHECKING:  # tasks are scored, and scoring needs this module
    from train.tasks.base import Data

#: More inputs than these do not move the percentiles.
_MOST_INPUTS = 4000


def feature_statistics(
    network: nn.Module,
    features: Callable[[dict[str, Tensor]], Tensor],
    data: Data,
    most: int = _MOST_INPUTS,
) -> dict[str, Any]:
    """Run a network over the validation patients and describe its features.

    Parameters
    ----------
    network
        In evaluation mode.
    features
        A batch of `data`, on the network's device, to its pooled features ``(B, features)``: the
        same ones that the node's task returns.
    data
        The validation patients.
    most
        Inputs that are used, evenly chosen.

    Returns
    -------
    ``feature_statistics`` of a card.
    """
    device = next(network.parameters()).device
    chosen = np.linspace(0, len(data) - 1, min(most, len(data))).astype(int)
    found = []
    for positions in chunks(len(chosen)):
        arrays = data.batch(chosen[positions].tolist(), None)
        batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        with torch.inference_mode():
            found.append(features(batch).float().cpu().numpy())
    owners = np.asarray(data.patient_ids)[chosen].tolist()
    return FeatureStatistics.fit(np.concatenate(found), owners).as_json()
