"""The networks of this node and what each can do, as a host runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cards import BadWeightsError
from models.echo_e3net import FRAMES, EchoE3Net
from models.explain import activation_gradient, grad_cam
from models.view_net import SIZE, ViewNet
from models.weights import load_network
from node.inference.messages import Arrays, HostSettings
from node.inference.registry import Hosted, HostedTask

VIEW_NET = "view_net"
ECHO_E3NET = "echo_e3net"

_Tasks = dict[tuple[str, str], HostedTask]


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


def load_networks(settings: HostSettings) -> Hosted:
    """Load every network of this node (the default registry of LocalExecutor).

    A network without valid weights is left out, with the reason.
    """
    device = Device(settings)
    loaders: dict[str, Callable[[Device], _Tasks]] = {
        VIEW_NET: _echo_view,
        ECHO_E3NET: _ejection_fraction,
    }
    tasks: _Tasks = {}
    problems: dict[str, str] = {}
    for name, load in loaders.items():
        try:
            tasks |= load(device)
        except BadWeightsError as error:
            problems[name] = str(error)
    return Hosted(str(device.torch), device.precision, tasks, problems)


def _echo_view(device: Device) -> _Tasks:
    loaded, card = load_network(VIEW_NET)
    if not isinstance(loaded, ViewNet):
        raise BadWeightsError(f"the weights of {VIEW_NET} are of another network")
    return view_tasks(loaded, device, card.calibration.get("temperature", 1.0))


def view_tasks(network: ViewNet, device: Device, temperature: float = 1.0) -> _Tasks:
    """Make the tasks of a view network.

    ``classify``: frames uint8 ``(N, 112, 112)`` to probabilities and logits ``(N, 5)`` and
    features ``(N, 352)``. ``explain``: frames and the position of one view, int64 ``(N,)``, to
    heat ``(N, 112, 112)``, 0 to 1 over all frames of the call. Logits are divided by the card's
    temperature, which calibrates the probabilities.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def classify(arrays: Arrays) -> dict[str, Tensor]:
        frames = device.tensor(arrays["frames"])[:, None]
        last = network.features(frames)[1]
        logits = network.decide(last) / temperature
        features = torch.cat([last.mean((2, 3)), last.amax((2, 3))], dim=1)
        return {"probabilities": logits.softmax(1), "logits": logits, "features": features}

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        views = np.unique(arrays["view"])
        if len(views) != 1:
            raise ValueError("one view is explained at a time")
        frames = device.tensor(arrays["frames"])[:, None]
        return {"heat": grad_cam(network, frames, int(views[0]))}

    frames = np.zeros((1, SIZE, SIZE), np.uint8)
    view = np.zeros(1, np.int64)
    return {
        (VIEW_NET, "classify"): HostedTask(
            device.infer(classify), device.rows(128, 2048), {"frames": frames}
        ),
        # The heat of all frames of a call has one scale.
        (VIEW_NET, "explain"): HostedTask(
            device.explain(explain), device.rows(128, 512), {"frames": frames, "view": view}, True
        ),
    }


def _ejection_fraction(device: Device) -> _Tasks:
    loaded, _ = load_network(ECHO_E3NET)
    if not isinstance(loaded, EchoE3Net):
        raise BadWeightsError(f"the weights of {ECHO_E3NET} are of another network")
    return ejection_fraction_tasks(loaded, device)


def ejection_fraction_tasks(network: EchoE3Net, device: Device) -> _Tasks:
    """Make the tasks of Echo-E3Net.

    Both take clips uint8 ``(N, 32, 112, 112)`` and valid int64 ``(N,)``, the number of real
    frames. ``predict`` gives ef ``(N,)``, a fraction, and borders ``(N, 2, 20, 4)`` in fractions
    of the side; ``explain`` heat ``(N, 32, 112, 112)``, 0 to 1 in each clip.
    """
    network = network.to(device.torch).eval().requires_grad_(False)

    def inputs(arrays: Arrays) -> tuple[Tensor, Tensor]:
        return device.tensor(arrays["clips"])[:, None], device.tensor(arrays["valid"])

    def predict(arrays: Arrays) -> dict[str, Tensor]:
        prediction = network(*inputs(arrays))
        return {"ef": prediction.ejection_fraction, "borders": prediction.borders}

    def explain(arrays: Arrays) -> dict[str, Tensor]:
        return {"heat": activation_gradient(network, *inputs(arrays))}

    example: Arrays = {
        "clips": np.zeros((1, FRAMES, network.size, network.size), np.uint8),
        "valid": np.full(1, FRAMES, np.int64),
    }
    return {
        (ECHO_E3NET, "predict"): HostedTask(device.infer(predict), device.rows(4, 64), example),
        (ECHO_E3NET, "explain"): HostedTask(device.explain(explain), device.rows(2, 16), example),
    }
