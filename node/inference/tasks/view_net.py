"""What the view network can do."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from models.cards import BadWeightsError
from models.explain import grad_cam
from models.view_net import SIZE, ViewNet
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

VIEW_NET = "view_net"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, card = load_network(VIEW_NET)
    if not isinstance(loaded, ViewNet):
        raise BadWeightsError(f"the weights of {VIEW_NET} are of another network")
    return view_tasks(loaded, device, card.calibration.get("temperature", 1.0))


def view_tasks(network: ViewNet, device: Device, temperature: float = 1.0) -> Tasks:
    """Make the tasks of a view network.

    ``classify``: frames uint8 ``(N, 112, 112)`` to probabilities and logits ``(N, 5)`` and
    features ``(N, 352)``. ``explain``: frames and the position of one view, int64 ``(N,)``, to
    heat ``(N, 112, 112)``, 0 to 1 over all frames of the call. Logits are divided by the card's
    temperature, which calibrates the probabilities.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def classify(arrays: Arrays) -> dict[str, Tensor]:
        frames = device.tensor(arrays["frames"])[:, None]
        last = network.features(frames)[1]
        logits = network.decide(last) / temperature
        return {
            "probabilities": logits.softmax(1),
            "logits": logits,
            "features": network.pooled(last),
        }

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        views = np.unique(arrays["view"])
        if len(views) != 1:
            raise ValueError("one view is explained at a time")
        frames = device.tensor(arrays["frames"])[:, None]
        return {"heat": grad_cam(network, frames, int(views[0]))}

    frames = np.zeros((1, SIZE, SIZE), np.uint8)
    view = np.zeros(1, np.int64)
    return {
        (VIEW_NET, "classify"): HostedTask(
            device.infer(classify), device.rows(128, 2048), {"frames": frames}
        ),
        # The heat of all frames of a call has one scale.
        (VIEW_NET, "explain"): HostedTask(
            device.explain(explain), device.rows(128, 512), {"frames": frames, "view": view}, True
        ),
    }
