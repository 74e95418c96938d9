"""What the valve classifier can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cam import enlarged, grad_cam, min_max
from models.cards import BadWeightsError
from models.valve_classifier import ValveClassifier
from models.valve_crop import SIZE
from models.weights import load_network
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

VALVE_CLASSIFIER = "valve_classifier"


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(VALVE_CLASSIFIER)
    if not isinstance(loaded, ValveClassifier):
        raise BadWeightsError(f"the weights of {VALVE_CLASSIFIER} are of another network")
    return classifier_tasks(loaded, device)


def classifier_tasks(network: ValveClassifier, device: Device) -> Tasks:
    """Make the tasks of the classifier.

    ``classify``: crops uint8 ``(N, 224, 224)`` to probabilities and logits of calcification
    ``(N,)``, uncalibrated, and features ``(N, 960)``. ``explain``: crops and the answer to
    explain, int64 ``(N,)`` (0 none, 1 calcified), to the Grad-CAM of the last feature map, heat
    ``(N, 224, 224)``, 0 to 1 in each crop.
    """
    network = network.to(memory_format=torch.channels_last).to(device.torch)
    network = network.eval().requires_grad_(False)

    def classify(arrays: Arrays) -> dict[str, Tensor]:
        maps = network.features(device.tensor(arrays["crops"])[:, None])
        logits = network.decide(maps)
        return {
            "probabilities": logits.sigmoid(),
            "logits": logits,
            "features": maps.mean((2, 3)),
        }

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        with torch.enable_grad():
            crops = device.tensor(arrays["crops"])[:, None]
            maps = network.features(crops).detach().requires_grad_()
            sign = 2.0 * device.tensor(arrays["answer"]) - 1.0
            heat = grad_cam(maps, network.decide(maps) * sign)
        return {"heat": min_max(enlarged(heat, (SIZE, SIZE)))}

    crops = np.zeros((1, SIZE, SIZE), np.uint8)
    answer = np.zeros(1, np.int64)
    return {
        (VALVE_CLASSIFIER, "classify"): HostedTask(
            device.infer(classify), device.rows(16, 512), {"crops": crops}
        ),
        (VALVE_CLASSIFIER, "explain"): HostedTask(
            device.explain(explain), device.rows(16, 256), {"crops": crops, "answer": answer}
        ),
    }
