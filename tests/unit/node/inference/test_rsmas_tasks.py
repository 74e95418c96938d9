"""The tasks of RSMAS-Net, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.rsmas_net import RsmasNet
from node.inference.device import Device, Tasks
from node.inference.messages import HostSettings
from node.inference.tasks.rsmas_net import RSMAS_NET, stenosis_tasks


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    torch.manual_seed(1)
    return stenosis_tasks(RsmasNet(), Device(HostSettings("cpu", "float32", threads=1)))


FRAMES = np.random.default_rng(1).integers(0, 255, (3, 112, 112), dtype=np.uint8)


def test_classify_answers_for_each_frame(tasks: Tasks) -> None:
    compute = tasks[RSMAS_NET, "classify"].compute
    together, alone = compute({"frames": FRAMES}), compute({"frames": FRAMES[1:2]})
    assert {name: a.shape for name, a in together.items()} == {
        "stenosis": (3,), "severity": (3,), "features": (3, 1024),
    }  # fmt: skip
    for name in ("stenosis", "severity"):
        assert 0 < together[name].min() <= together[name].max() < 1
        assert np.allclose(together[name][1], alone[name], atol=1e-4)


def test_explain_shows_each_frame_s_answer(tasks: Tasks) -> None:
    compute = tasks[RSMAS_NET, "explain"].compute
    heat = compute({"frames": FRAMES, "answer": np.array([0, 1, 1])})["heat"]
    assert heat.shape == (3, 112, 112)
    assert np.allclose(heat.reshape(3, -1).max(1), 1.0)
    assert heat.min() >= 0
    other = compute({"frames": FRAMES, "answer": np.array([1, 1, 1])})["heat"]
    assert np.allclose(other[1:], heat[1:], atol=1e-4)
    assert not np.allclose(other[0], heat[0], atol=1e-2)
