"""What the valve detector can do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cards import BadWeightsError
from models.weights import load_network
from models.yolo.boxes import suppress
from models.yolo.detector import SIZE, ValveDetector
from node.inference.device import Device, Tasks
from node.inference.messages import Arrays
from node.inference.registry import HostedTask

VALVE_DETECTOR = "valve_detector"
#: Boxes of each frame: a heart has one aortic valve, the others show what else looked like one.
MOST_BOXES = 5
_LEAST_CONFIDENCE = 0.01


def load(device: Device) -> Tasks:
    """Load the weights."""
    loaded, _ = load_network(VALVE_DETECTOR)
    if not isinstance(loaded, ValveDetector):
        raise BadWeightsError(f"the weights of {VALVE_DETECTOR} are of another network")
    return detector_tasks(loaded, device)


def detector_tasks(network: ValveDetector, device: Device) -> Tasks:
    """Make the task of the detector.

    ``detect``: frames uint8 ``(N, 640, 640)`` to boxes ``(N, 5, 5)``, after suppression and the
    surest first: x0, y0, x1, y1 in pixels and the score, 0 where there are fewer than five; and
    features ``(N, 896)``.
    """
    network = network.to(memory_format=torch.channels_last).to(device.torch)
    network = network.eval().requires_grad_(False)

    def detect(arrays: Arrays) -> dict[str, Tensor]:
        candidates, features = network.candidates(device.tensor(arrays["frames"])[:, None])
        boxes = torch.zeros(len(candidates), MOST_BOXES, 5, device=candidates.device)
        for row, each in zip(boxes, candidates, strict=True):
            found = suppress(each, _LEAST_CONFIDENCE, most=MOST_BOXES)
            row[: len(found)] = found
        return {"boxes": boxes, "features": features}

    frames = np.zeros((1, SIZE, SIZE), np.uint8)
    return {
        (VALVE_DETECTOR, "detect"): HostedTask(
            device.infer(detect), device.rows(4, 64), {"frames": frames}
        )
    }
