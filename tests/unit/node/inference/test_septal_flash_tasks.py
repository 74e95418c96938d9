"""The tasks of the septal flash network."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from models.septal_flash_net import SIZE, SeptalFlashNet
from node.inference.device import Device, Tasks
from node.inference.messages import HostSettings
from node.inference.tasks.septal_flash import SEPTAL_FLASH, septal_flash_tasks


@pytest.fixture(scope="module")
def network() -> SeptalFlashNet:
    torch.manual_seed(0)
    return SeptalFlashNet()


def tasks(network: SeptalFlashNet, precision: Literal["float32", "bfloat16"]) -> Tasks:
    return septal_flash_tasks(network, Device(HostSettings(device="cpu", precision=precision)))


def strips(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE)).astype(np.uint8)


def test_prediction_is_softmax_of_the_logits(network: SeptalFlashNet) -> None:
    answer = tasks(network, "float32")[SEPTAL_FLASH, "predict"].compute({"strips": strips()})
    logits = answer["logits"].astype(np.float64)
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(answer["probability"], expected, rtol=1e-5)
    assert answer["features"].shape == (2, 1024)
    low = tasks(network, "bfloat16")[SEPTAL_FLASH, "predict"].compute({"strips": strips()})
    np.testing.assert_allclose(low["probability"], expected, rtol=1e-2)


def test_explanation_is_of_the_answer_that_is_asked_for(network: SeptalFlashNet) -> None:
    explain = tasks(network, "float32")[SEPTAL_FLASH, "explain"].compute
    one = np.repeat(strips(1), 2, axis=0)
    heat = explain({"strips": one, "answer": np.array([0, 1])})["heat"]
    assert heat.shape == (2, 8, 8)
    assert heat.min() >= 0 and heat.max() > 0
    assert np.abs(heat[0] - heat[1]).max() > 1e-3 * heat.max()
