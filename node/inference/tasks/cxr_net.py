"""What the chest X-ray network can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cam import enlarged, grad_cam, min_max
from models.cards import BadWeightsError
from models.cxr_net import SIZE, CxrNet
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

CXR_NET = "cxr_net"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(CXR_NET)
    if not isinstance(loaded, CxrNet):
        raise BadWeightsError(f"the weights of {CXR_NET} are of another network")
    return film_tasks(loaded, device)


def film_tasks(network: CxrNet, device: Device) -> Tasks:
    """Make the tasks of the chest X-ray network.

    ``predict``: films uint8 ``(N, 224, 224)`` to score ``(N,)``, what the film adds to the sum
    with the ECG's, and features ``(N, 1280)``. ``explain``: films to the Grad-CAM of the score on
    the last map, heat ``(N, 224, 224)``, 0 to 1 in each film.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def predict(arrays: Arrays) -> dict[str, Tensor]:
        pooled = network.pooled(network.features(device.tensor(arrays["films"])[:, None]))
        return {"score": network.decide(pooled), "features": pooled}

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        with torch.enable_grad():
            films = device.tensor(arrays["films"])[:, None]
            maps = network.features(films).detach().requires_grad_()
            heat = grad_cam(maps, network.decide(network.pooled(maps)))
        return {"heat": min_max(enlarged(heat, (SIZE, SIZE)))}

    films = np.zeros((1, SIZE, SIZE), np.uint8)
    return {
        (CXR_NET, "predict"): HostedTask(
            device.infer(predict), device.rows(16, 512), {"films": films}
        ),
        (CXR_NET, "explain"): HostedTask(
            device.explain(explain), device.rows(16, 256), {"films": films}
        ),
    }
