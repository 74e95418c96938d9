"""What the septal flash network can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cam import grad_cam_plus_plus
from models.cards import BadWeightsError
from models.septal_flash_net import SIZE, SeptalFlashNet
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

SEPTAL_FLASH = "septal_flash"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(SEPTAL_FLASH)
    if not isinstance(loaded, SeptalFlashNet):
        raise BadWeightsError(f"the weights of {SEPTAL_FLASH} are of another network")
    return septal_flash_tasks(loaded, device)


def septal_flash_tasks(network: SeptalFlashNet, device: Device) -> Tasks:
    """Make the tasks of the septal flash network.

    ``predict``: strips uint8 ``(N, 256, 256)`` to the probability of a flash ``(N,)``,
    uncalibrated, logits ``(N, 2)`` of absent and present, and features ``(N, 1024)``.
    ``explain``: strips and the answer to explain, int64 ``(N,)`` (0 absent, 1 present), to the
    Grad-CAM++ of its score before softmax, heat ``(N, 8, 8)``, 0 or more, not scaled.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def predict(arrays: Arrays) -> dict[str, Tensor]:
        last = network.features(device.tensor(arrays["strips"])[:, None])
        logits = network.decide(last)
        return {
            "probability": logits.softmax(1)[:, 1],
            "logits": logits,
            "features": last.mean((2, 3)),
        }

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        with torch.enable_grad():
            strips = device.tensor(arrays["strips"])[:, None]
            last = network.features(strips).detach().requires_grad_()
            answer = device.tensor(arrays["answer"])
            score = network.decide(last).gather(1, answer[:, None])[:, 0]
            return {"heat": grad_cam_plus_plus(last, score)}

    strips = np.zeros((1, SIZE, SIZE), np.uint8)
    answer = np.zeros(1, np.int64)
    return {
        (SEPTAL_FLASH, "predict"): HostedTask(
            device.infer(predict), device.rows(8, 64), {"strips": strips}
        ),
        (SEPTAL_FLASH, "explain"): HostedTask(
            device.explain(explain), device.rows(8, 64), {"strips": strips, "answer": answer}
        ),
    }
