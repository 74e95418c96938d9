"""What Echo-E3Net can do."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from models.cards import BadWeightsError
from models.echo_e3net import FRAMES, EchoE3Net
from models.explain import activation_gradient
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

ECHO_E3NET = "echo_e3net"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(ECHO_E3NET)
    if not isinstance(loaded, EchoE3Net):
        raise BadWeightsError(f"the weights of {ECHO_E3NET} are of another network")
    return ejection_fraction_tasks(loaded, device)


def ejection_fraction_tasks(network: EchoE3Net, device: Device) -> Tasks:
    """Make the tasks of Echo-E3Net.

    Both take clips uint8 ``(N, 32, 112, 112)`` and valid int64 ``(N,)``, the number of real
    frames. ``predict`` gives ef ``(N,)``, a fraction, borders ``(N, 2, 20, 4)`` in fractions of
    the side, and features ``(N, 200)``; ``explain`` heat ``(N, 32, 112, 112)``, 0 to 1 in each
    clip.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def inputs(arrays: Arrays) -> tuple[Tensor, Tensor]:
        return device.tensor(arrays["clips"])[:, None], device.tensor(arrays["valid"])

    def predict(arrays: Arrays) -> dict[str, Tensor]:
        taps = network.features(*inputs(arrays))
        prediction = network.decide(taps)
        return {
            "ef": prediction.ejection_fraction,
            "borders": prediction.borders,
            "features": network.pooled(taps),
        }

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        return {"heat": activation_gradient(network, *inputs(arrays))}

    example: Arrays = {
        "clips": np.zeros((1, FRAMES, network.size, network.size), np.uint8),
        "valid": np.full(1, FRAMES, np.int64),
    }
    return {
        (ECHO_E3NET, "predict"): HostedTask(device.infer(predict), device.rows(4, 64), example),
        (ECHO_E3NET, "explain"): HostedTask(device.explain(explain), device.rows(2, 16), example),
    }
