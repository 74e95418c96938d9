"""What a training learns: for each task its network, data, loss and validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.echo_e3net import EchoE3Net, resize_state
from models.view_net import ViewNet
from train import metrics
from train.datasets.phantom import Arrays, EjectionFractionClips, Jitter, ViewFrames
from train.losses import EjectionFractionLoss, point_distance
from train.recipe import Augment, Recipe
from train.splits import Split

_EVALUATION_BATCH = 16


class Data(Protocol):
    """A part of a data set."""

    def __len__(self) -> int:
        """Count the samples."""

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each sample."""

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read samples; `rng` draws what is random in training."""


class Task(Protocol):
    """What the training loop needs to know."""

    score: str  # the validation number by which weights are compared; smaller is better

    def network(self, size: int) -> nn.Module:
        """Build the untrained network."""

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Carry weights to another input size."""

    def data(self, cohort: Path, split: Split, size: int) -> Data:
        """Open a part of the cohort."""

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Set the normalisation from the training data."""

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute ``loss`` and its terms."""

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """Score the network on up to `most` evenly chosen samples."""


class EjectionFractionTask:
    """Echo-E3Net: ejection fraction and borders of apical clips."""

    score = "rmse"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = _jitter(recipe.augment)
        self._loss = EjectionFractionLoss(
            recipe.loss.border, recipe.loss.simpson, recipe.loss.simpson_after
        )

    def network(self, size: int) -> nn.Module:
        """Build the untrained network."""
        return EchoE3Net(size).to(memory_format=torch.channels_last_3d)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Interpolate what depends on the token count."""
        return resize_state(state, size)

    def data(self, cohort: Path, split: Split, size: int) -> EjectionFractionClips:
        """Open a part of the cohort."""
        return EjectionFractionClips(cohort, split, size, self._jitter)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Set mean and standard deviation of grey."""
        if isinstance(network, EchoE3Net) and isinstance(data, EjectionFractionClips):
            mean, std = data.grey_statistics()
            network.mean.fill_(mean)
            network.std.fill_(max(std, 1.0))

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute the three terms and their sum."""
        return self._loss(network(batch["clips"]), batch["ef"], batch["borders"], progress)

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """RMSE and MAE in points, R², and the borders' error as a share of the side."""
        truth, predicted, distances = [], [], []
        for batch in batches(data, most, network):
            with torch.no_grad():
                prediction = network(batch["clips"])
            truth.append(100 * batch["ef"])
            predicted.append(100 * prediction.ejection_fraction)
            distances.append(point_distance(prediction.borders, batch["borders"]))
        t, p = (torch.cat(x).float().cpu().numpy() for x in (truth, predicted))
        return {
            "rmse": metrics.rmse(t, p),
            "mae": metrics.mae(t, p),
            "r2": metrics.r2(t, p),
            "border_distance": float(torch.cat(distances).nanmean()),
        }


class EchoViewTask:
    """ViewNet: the view of single frames."""

    score = "error"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = _jitter(recipe.augment)
        self._smoothing = recipe.loss.label_smoothing

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; any size goes."""
        return ViewNet().to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> ViewFrames:
        """Open a part of the cohort."""
        return ViewFrames(cohort, split, size, self._jitter)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Do nothing: each frame is normalised by itself."""

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy."""
        logits = network(batch["frames"])
        return {
            "loss": functional.cross_entropy(logits, batch["view"], label_smoothing=self._smoothing)
        }

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """1 - balanced accuracy of single frames, and cross-entropy."""
        truth, logits = [], []
        for batch in batches(data, most, network, 4 * _EVALUATION_BATCH):
            with torch.no_grad():
                logits.append(network(batch["frames"]).float())
            truth.append(batch["view"])
        t, x = torch.cat(truth), torch.cat(logits)
        right = metrics.balanced_accuracy(t.cpu().numpy(), x.argmax(1).cpu().numpy())
        return {
            "error": 1 - right,
            "balanced_accuracy": right,
            "cross_entropy": float(functional.cross_entropy(x, t)),
        }


def task_of(recipe: Recipe) -> Task:
    """Return the task that the recipe names."""
    if recipe.task == "ejection_fraction":
        return EjectionFractionTask(recipe)
    return EchoViewTask(recipe)


def batches(
    data: Data, most: int, network: nn.Module, size: int = _EVALUATION_BATCH
) -> Iterator[dict[str, Tensor]]:
    """Yield evenly chosen samples without randomness, on the network's device."""
    device = next(network.parameters()).device
    chosen = np.linspace(0, len(data) - 1, min(most, len(data))).astype(int)
    for at in range(0, len(chosen), size):
        arrays = data.batch(chosen[at : at + size].tolist(), None)
        yield {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _jitter(augment: Augment) -> Jitter:
    return Jitter(augment.gain, augment.gamma, augment.shift, augment.scale, augment.rotation_deg)
