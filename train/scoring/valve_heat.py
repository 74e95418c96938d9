"""Does the Grad-CAM++ of a stenosis answer lie on the valve that was asked about?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cam import enlarged, grad_cam_plus_plus, min_max
from models.rsmas_net import SIZE, RsmasNet
from train.metrics import bootstrap

Floats = npt.NDArray[np.float64]
#: What the node outlines: at least this hot, relative to the hottest pixel.
SALIENT = 0.5


def heat_at_valve(
    network: RsmasNet, last: Tensor, valve_at: npt.NDArray[np.floating[Any]]
) -> Floats:
    """Heat of each frame's own answer at the middle of its valve, and the area that is salient.

    Parameters
    ----------
    network
        In evaluation mode.
    last
        Its last feature map, ``(B, 1024, h, w)``.
    valve_at
        x and y as shares of the frame, ``(B, 2)``; NaN where no valve is seen.

    Returns
    -------
    ``(B, 2)``: heat 0 to 1, NaN where no valve is seen, and a share of the frame.
    """
    with torch.inference_mode(False), torch.enable_grad():
        maps = last.detach().clone().requires_grad_()
        logits = network.decide(maps).stenosis
        score = logits.amax(1)
        heat = min_max(enlarged(grad_cam_plus_plus(maps, score), (SIZE, SIZE))).cpu().numpy()
    seen = np.isfinite(valve_at).all(axis=1)
    at = np.clip(np.where(seen[:, None], valve_at, 0.5) * SIZE, 0, SIZE - 1).astype(np.int64)
    there = heat[np.arange(len(heat)), at[:, 1], at[:, 0]]
    area = (heat >= SALIENT).mean(axis=(1, 2))
    return np.stack([np.where(seen, there, np.nan), area], axis=1).astype(np.float64)


def valve_heat_table(heat: Floats, patients: npt.NDArray[np.int64]) -> dict[str, Any]:
    """How often what is outlined holds the middle of the valve, over frames that show it.

    Parameters
    ----------
    heat
        Of :func:`heat_at_valve`, ``(frames, 2)``.
    patients
        ``(frames,)``.

    Returns
    -------
    ``valve_in_outline``, ``valve_heat`` (mean heat at the valve) and ``outline_area``, the share of
    the frame inside the outline: how often it would hold the valve by chance. Empty where no frame
    says where its valve is.
    """
    seen = np.isfinite(heat[:, 0])
    if not seen.any():
        return {}
    there, area, own = heat[seen, 0], heat[seen, 1], patients[seen]
    numbers = {
        "valve_in_outline": (there >= SALIENT).astype(np.float64),
        "valve_heat": there,
        "outline_area": area,
    }
    return {name: bootstrap(_mean, (each,), own).as_json() for name, each in numbers.items()}


def _mean(values: Floats) -> float:
    return float(values.mean())
