"""The tasks of detector and classifier, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.valve_classifier import ValveClassifier
from models.yolo.detector import ValveDetector
from node.inference.device import Device
from node.inference.messages import HostSettings
from node.inference.registry import HostedTask
from node.inference.tasks.valve_classifier import VALVE_CLASSIFIER, classifier_tasks
from node.inference.tasks.valve_detector import VALVE_DETECTOR, detector_tasks


@pytest.fixture(scope="module")
def tasks() -> dict[tuple[str, str], HostedTask]:
    torch.manual_seed(1)
    device = Device(HostSettings("cpu", "float32", threads=1))
    return detector_tasks(ValveDetector(), device) | classifier_tasks(ValveClassifier(), device)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)


def test_detection_gives_a_fixed_number_of_boxes(
    tasks: dict[tuple[str, str], HostedTask],
) -> None:
    out = tasks[VALVE_DETECTOR, "detect"].compute({"frames": draw(2, 64, 64)})
    assert out["boxes"].shape == (2, 5, 5)
    assert out["features"].shape == (2, 896)
    scores = out["boxes"][..., 4]
    assert (np.diff(scores, axis=1) <= 0).all() and scores.min() >= 0
    assert (out["boxes"][scores == 0] == 0).all()


def test_classification_and_its_heat(tasks: dict[tuple[str, str], HostedTask]) -> None:
    crops = draw(2, 224, 224)
    out = tasks[VALVE_CLASSIFIER, "classify"].compute({"crops": crops})
    assert out["probabilities"].shape == out["logits"].shape == (2,)
    assert out["features"].shape == (2, 960)
    assert np.allclose(out["probabilities"], 1 / (1 + np.exp(-out["logits"])), atol=1e-6)
    explain = tasks[VALVE_CLASSIFIER, "explain"].compute
    heat = explain({"crops": crops, "answer": np.array([1, 1])})["heat"]
    opposite = explain({"crops": crops, "answer": np.array([1, 0])})["heat"]
    assert heat.shape == (2, 224, 224)
    assert 0 <= heat.min() <= heat.max() <= 1
    assert np.allclose(heat[0], opposite[0]) and not np.allclose(heat[1], opposite[1])
