"""Where and how precisely networks are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from node.inference.messages import Arrays, HostSettings
from node.inference.registry import HostedTask

#: What the networks of a host can do, by network and task.
Tasks = dict[tuple[str, str], HostedTask]


class Device:
    """Where and how precisely tensors are computed.

    Raises
    ------
    ValueError
        A GPU is asked for and there is none.
    """

    def __init__(self, settings: HostSettings) -> None:
        name = settings.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name.startswith("cuda"):
            if not torch.cuda.is_available():
                raise ValueError(f"the device {name} is asked for, but there is no GPU")
            name = f"cuda:{torch.device(name).index or 0}"
            if torch.device(name).index >= torch.cuda.device_count():
                raise ValueError(f"there is no device {name}")
        self.torch = torch.device(name)
        self.is_gpu = self.torch.type == "cuda"
        wish = settings.precision
        self.precision = wish if wish != "auto" else ("bfloat16" if self.is_gpu else "float32")

    def tensor(self, array: npt.NDArray[Any]) -> Tensor:
        """Bring an array to the device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.torch, non_blocking=True)

    def infer(self, compute: Callable[[Arrays], dict[str, Tensor]]) -> Callable[[Arrays], Arrays]:
        """Make a task of a function that needs no gradients; it runs in this precision."""

        def run(arrays: Arrays) -> Arrays:
            low = self.precision == "bfloat16"
            with (
                torch.inference_mode(),
                torch.autocast(self.torch.type, dtype=torch.bfloat16, enabled=low),
            ):
                outputs = compute(arrays)
            return {name: output.float().cpu().numpy() for name, output in outputs.items()}

        return run

    def explain(self, compute: Callable[[Arrays], dict[str, Tensor]]) -> Callable[[Arrays], Arrays]:
        """Make a task of a function that takes gradients; always in float32."""

        def run(arrays: Arrays) -> Arrays:
            outputs = compute(arrays)
            return {name: output.float().cpu().numpy() for name, output in outputs.items()}

        return run

    def rows(self, cpu: int, gpu: int) -> int:
        """Choose a batch size by the kind of device."""
        return gpu if self.is_gpu else cpu
