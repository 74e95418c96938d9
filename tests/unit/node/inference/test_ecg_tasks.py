"""The ECG network's tasks, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import torch

from models.ecg_net import EcgNet
from node.inference.device import Device
from node.inference.messages import HostSettings
from node.inference.tasks.ecg_net import ECG_NET, ecg_tasks


def test_predict_and_explain() -> None:
    torch.manual_seed(1)
    tasks = ecg_tasks(EcgNet(), Device(HostSettings("cpu", "float32", threads=1)))
    windows = np.random.default_rng(1).normal(size=(2, 12, 1000)).astype(np.float32)
    found = tasks[ECG_NET, "predict"].compute({"windows": windows})
    assert found["score"].shape == (2,)
    assert found["features"].shape == (2, 256)
    alone = tasks[ECG_NET, "predict"].compute({"windows": windows[1:]})
    np.testing.assert_allclose(found["score"][1:], alone["score"], rtol=1e-3, atol=1e-5)
    seen = tasks[ECG_NET, "explain"].compute({"windows": windows})
    assert seen["heat"].shape == (2, 12, 1000)
    assert (seen["heat"].min() >= 0, seen["heat"].max()) == (True, 1)
    np.testing.assert_allclose(seen["lead_weights"].sum(axis=1), 1.0, rtol=1e-5)
    for name in ("predict", "explain"):
        assert tasks[ECG_NET, name].example["windows"].shape == (1, 12, 1000)
    assert tasks[ECG_NET, "explain"].alone  # one scale for the windows of a recording
