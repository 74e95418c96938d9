"""A registry of a tiny network, for tests of the executor; its functions run in the host."""

from __future__ import annotations

import os
import time

import numpy as np
import torch

from node.inference.messages import Arrays, HostSettings
from node.inference.registry import Hosted, HostedTask

ROW = 4


def load(settings: HostSettings) -> Hosted:
    """Offer a linear network and tasks that misbehave."""
    torch.manual_seed(1)
    network = torch.nn.Linear(ROW, 2).eval()

    def predict(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            out = network(torch.from_numpy(arrays["x"])).numpy()
        rows = np.full(len(out), len(out), np.int64)
        return {"y": out, "batch_rows": rows, "pid": np.full(len(out), os.getpid())}

    def slow(arrays: Arrays) -> Arrays:
        time.sleep(0.3)
        return predict(arrays)

    def picky(arrays: Arrays) -> Arrays:
        if (arrays["x"] < 0).any():
            raise ValueError("negative")
        return predict(arrays)

    def hungry(arrays: Arrays) -> Arrays:
        if len(arrays["x"]) > 3 or (arrays["x"] > 1e6).any():
            raise torch.OutOfMemoryError
        return predict(arrays)

    def deadly(arrays: Arrays) -> Arrays:
        if (arrays["x"] == 9).all():
            os.kill(os.getpid(), 9)
        return predict(arrays)

    def stuck(arrays: Arrays) -> Arrays:
        if (arrays["x"] == 9).all():
            time.sleep(60)
        return predict(arrays)

    example: Arrays = {"x": np.ones((1, ROW), np.float32)}
    computes = {
        "predict": predict,
        "slow": slow,
        "picky": picky,
        "hungry": hungry,
        "deadly": deadly,
        "stuck": stuck,
    }
    tasks = {("tiny", name): HostedTask(compute, 16, example) for name, compute in computes.items()}
    tasks["tiny", "together"] = HostedTask(slow, 16, example, alone=True)
    return Hosted("cpu", "float32", tasks, {"lost": "no readable card lost.json"})


def broken(settings: HostSettings) -> Hosted:
    """Fail to load."""
    raise RuntimeError("the weights are gone")
