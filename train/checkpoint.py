"""Checkpoints of a training: one safetensors blob, replaced atomically, progress in its header.

Safetensors and not pickles, so that a checkpoint can be opened without trusting it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is.

    Attributes
    ----------
    stage, step
        Position of the stage and steps done in it.
    elapsed_s
        Training time in this stage, over all its runs.
    total_steps
        Steps done in all stages.
    best
        Best validation score of the last stage so far, None before the first.
    """

    stage: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    total_steps: int = 0
    best: float | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training at rest: weights, averaged weights, and AdamW's moments by parameter number."""

    progress: Progress
    weights: dict[str, Tensor]
    averaged: dict[str, Tensor]
    moments: dict[str, Tensor]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint beside `path`, then rename it over."""
    tensors: dict[str, Tensor] = {}
    for group in ("weights", "averaged", "moments"):
        part: Mapping[str, Tensor] = getattr(checkpoint, group)
        tensors |= {f"{group}/{k}": v.detach().cpu().contiguous().clone() for k, v in part.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part_path = path.with_suffix(".part")
    save_file(tensors, part_path, metadata={"progress": json.dumps(asdict(checkpoint.progress))})
    part_path.replace(path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint back."""
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "averaged": {}, "moments": {}}
    with safe_open(path, framework="pt") as blob:
        progress = Progress(**json.loads(blob.metadata()["progress"]))
        for key in blob.keys():  # noqa: SIM118 - not a dict
            group, name = key.split("/", 1)
            groups[group][name] = blob.get_tensor(key)
    return Checkpoint(progress, groups["weights"], groups["averaged"], groups["moments"])


def moments_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """Flatten AdamW's state: ``"<parameter number>/exp_avg"`` and so on."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{k}": v for i, slots in state.items() for k, v in slots.items()}


def restore_moments(optimizer: Optimizer, moments: Mapping[str, Tensor]) -> None:
    """Put back what :func:`moments_of` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        number, slot = key.split("/")
        state.setdefault(int(number), {})[slot] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
