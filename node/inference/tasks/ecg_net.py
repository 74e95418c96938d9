"""What the ECG network can do."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from models.cards import BadWeightsError
from models.ecg import LEADS, WINDOW
from models.ecg_net import EcgNet
from models.ecg_saliency import two_phase_map
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

ECG_NET = "ecg_net"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(ECG_NET)
    if not isinstance(loaded, EcgNet):
        raise BadWeightsError(f"the weights of {ECG_NET} are of another network")
    return ecg_tasks(loaded, device)


def ecg_tasks(network: EcgNet, device: Device) -> Tasks:
    """Make the tasks of EcgNet.

    Both take windows float32 ``(N, 12, 1000)``, mV at 500 Hz with the baseline at 0. ``predict``
    gives score ``(N,)``, f_e of the cooperative learning, and features ``(N, 256)``, the class
    token. ``explain`` gives the two-phase map: heat ``(N, 12, 1000)``, 0 to 1 over all windows of
    the call, and lead_weights ``(N, 12)``, shares that sum to 1.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def predict(arrays: Arrays) -> dict[str, Tensor]:
        output = network(device.tensor(arrays["windows"]))
        return {"score": output.score, "features": output.features}

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        found = two_phase_map(network, device.tensor(arrays["windows"]))
        return {"heat": found.heat, "lead_weights": found.lead_weights}

    windows = np.zeros((1, len(LEADS), WINDOW), np.float32)
    return {
        (ECG_NET, "predict"): HostedTask(
            device.infer(predict), device.rows(9, 256), {"windows": windows}
        ),
        # The heat of all windows of a call has one scale.
        (ECG_NET, "explain"): HostedTask(
            device.explain(explain), device.rows(9, 64), {"windows": windows}, True
        ),
    }
