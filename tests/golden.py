"""Golden tensors: what each network answers with weights and inputs that never change.

They notice when a network computes something else than before although its weights still fit:
another order of layers, another padding, a changed normalisation. After a change that is wanted::

    python -m tests.golden --write            # all networks; or name some
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from models.weights import NETWORKS

FOLDER = Path(__file__).parent / "data/golden"
#: Shape of each network's input; pictures are grey, uint8, and signals are mV.
INPUTS: dict[str, tuple[int, ...]] = {
    "CxrNet": (2, 1, 224, 224),
    "EcgNet": (2, 12, 1000),
    "EchoE3Net": (2, 1, 32, 112, 112),
    "RsmasNet": (2, 1, 112, 112),
    "SeptalFlashNet": (2, 1, 256, 256),
    "ValveClassifier": (2, 1, 224, 224),
    "ValveDetector": (1, 1, 320, 320),
    "ViewNet": (3, 1, 112, 112),
}
_SIGNALS = ("EcgNet",)
#: Of the weights' variance; where the usual one drives a sigmoid to its end, a smaller.
_GAINS = {"EchoE3Net": 1.0}
_USUAL_GAIN = 2.0
_MOST_NUMBERS = 256


def seeded(name: str) -> nn.Module:
    """Build a network whose every number follows from the number's name; in evaluation mode.

    Weights are scaled as He's initialisation does, so that the signal neither dies nor explodes;
    buffers that normalise the input stay as they are made.
    """
    network = NETWORKS[name]()
    state = network.state_dict()
    gain = _GAINS.get(name, _USUAL_GAIN)
    with torch.no_grad():
        for key, value in state.items():
            if key in _of_input(network) or not value.is_floating_point():
                continue
            value.copy_(torch.from_numpy(_numbers(key, tuple(value.shape), gain)))
    network.load_state_dict(state)
    return network.eval()


def input_of(name: str) -> Tensor:
    """The network's input: smooth in space and time, not the same anywhere."""
    shape = INPUTS[name]
    drawn = torch.from_numpy(_rng(name).random(shape, dtype=np.float32))
    kernel = 5
    flat = (
        drawn.reshape(-1, 1, *shape[-1:]) if len(shape) == 3 else drawn.reshape(-1, 1, *shape[-2:])
    )
    smooth = (
        nn.functional.avg_pool1d(flat, kernel, 1, kernel // 2)
        if len(shape) == 3
        else nn.functional.avg_pool2d(flat, kernel, 1, kernel // 2)
    )
    values = smooth.reshape(shape)
    spread = (values - values.mean()) / values.std()
    if name in _SIGNALS:
        return 0.3 * spread
    return (110 + 50 * spread).clamp(0, 255).to(torch.uint8)


def answer(name: str) -> dict[str, Tensor]:
    """What the seeded network says, up to 256 evenly spaced numbers of each output."""
    with torch.inference_mode():
        outputs = list(_tensors(seeded(name)(input_of(name))))
    return {f"output {n}": _few(output) for n, output in enumerate(outputs)}


def golden(name: str) -> dict[str, Tensor]:
    """What it said when the file was written."""
    return load_file(FOLDER / f"{name}.safetensors")


def write(name: str) -> Path:
    """Write a network's golden tensors."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    path.write_bytes(save(answer(name)))
    return path


def _of_input(network: nn.Module) -> set[str]:
    """Buffers of the network itself: mean, standard deviation, mean image."""
    return {name for name, _ in network.named_buffers(recurse=False)}


def _numbers(key: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    normal = _rng(key).standard_normal(shape).astype(np.float32)
    if key.endswith("running_var"):
        return np.asarray(1 + 0.1 * np.abs(normal))
    if len(shape) >= 2:
        return np.asarray(normal * np.float32(np.sqrt(gain / np.prod(shape[1:]))))
    return np.asarray(1 + 0.1 * normal if key.endswith("weight") else 0.1 * normal)


def _rng(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(sha256(key.encode()).digest()[:8], "little"))


def _tensors(output: Any) -> Iterator[Tensor]:
    if output is None:  # said in training only
        return
    if isinstance(output, Tensor):
        yield output
        return
    parts = output if isinstance(output, list | tuple) else vars(output).values()
    for part in parts:
        yield from _tensors(part)


def _few(output: Tensor) -> Tensor:
    flat = output.float().flatten()
    chosen = torch.linspace(0, len(flat) - 1, min(len(flat), _MOST_NUMBERS)).long()
    return flat[chosen].contiguous()


def main() -> None:
    """Write golden tensors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="network", help="all by default")
    parser.add_argument("--write", action="store_true", required=True)
    for name in parser.parse_args().names or sorted(NETWORKS):
        write(name)


if __name__ == "__main__":
    main()
