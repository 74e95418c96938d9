"""The chest X-ray network's tasks, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import torch

from models.cxr_net import SIZE, CxrNet
from node.inference.device import Device
from node.inference.messages import HostSettings
from node.inference.tasks.cxr_net import CXR_NET, film_tasks


def test_predict_and_explain() -> None:
    torch.manual_seed(1)
    tasks = film_tasks(CxrNet(), Device(HostSettings("cpu", "float32", threads=1)))
    films = np.random.default_rng(1).integers(0, 255, (2, SIZE, SIZE), dtype=np.uint8)
    found = tasks[CXR_NET, "predict"].compute({"films": films})
    assert found["score"].shape == (2,)
    assert found["features"].shape == (2, 1280)
    alone = tasks[CXR_NET, "predict"].compute({"films": films[1:]})
    np.testing.assert_allclose(found["score"][1:], alone["score"], rtol=1e-3, atol=1e-5)
    heat = tasks[CXR_NET, "explain"].compute({"films": films})["heat"]
    assert heat.shape == (2, SIZE, SIZE)
    assert (heat.min(), heat.max()) == (0, 1)
    for name in ("predict", "explain"):
        assert tasks[CXR_NET, name].example["films"].shape == (1, SIZE, SIZE)
