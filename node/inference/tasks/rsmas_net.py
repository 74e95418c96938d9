"""What RSMAS-Net can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cam import enlarged, grad_cam_plus_plus, min_max
from models.cards import BadWeightsError
from models.rsmas_net import SIZE, RsmasNet
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

RSMAS_NET = "rsmas_net"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(RSMAS_NET)
    if not isinstance(loaded, RsmasNet):
        raise BadWeightsError(f"the weights of {RSMAS_NET} are of another network")
    return stenosis_tasks(loaded, device)


def stenosis_tasks(network: RsmasNet, device: Device) -> Tasks:
    """Make the tasks of RSMAS-Net.

    ``classify``: frames uint8 ``(N, 112, 112)`` to the probabilities of a stenosis and, if there
    is one, of a severe one, ``(N,)`` each and uncalibrated, and features ``(N, 1024)``.
    ``explain``: frames and the answer to explain, int64 ``(N,)`` (0 none, 1 stenosis), to the
    Grad-CAM++ of the last stage, heat ``(N, 112, 112)``, 0 to 1 in each frame.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def classify(arrays: Arrays) -> dict[str, Tensor]:
        last = network.features(device.tensor(arrays["frames"])[:, None])
        logits = network.decide(last)
        return {
            "stenosis": logits.stenosis.softmax(1)[:, 1],
            "severity": logits.severity.softmax(1)[:, 1],
            "features": network.pooled(last),
        }

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        with torch.enable_grad():
            frames = device.tensor(arrays["frames"])[:, None]
            last = network.features(frames).detach().requires_grad_()
            logits = network.decide(last).stenosis
            answer = device.tensor(arrays["answer"])
            score = logits.gather(1, answer[:, None])[:, 0]
            maps = grad_cam_plus_plus(last, score)
        return {"heat": min_max(enlarged(maps, (SIZE, SIZE)))}

    frames = np.zeros((1, SIZE, SIZE), np.uint8)
    answer = np.zeros(1, np.int64)
    return {
        (RSMAS_NET, "classify"): HostedTask(
            device.infer(classify), device.rows(16, 512), {"frames": frames}
        ),
        (RSMAS_NET, "explain"): HostedTask(
            device.explain(explain), device.rows(16, 256), {"frames": frames, "answer": answer}
        ),
    }
