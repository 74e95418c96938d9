"""What a task is: everything that the training loop, the scoring and the export ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from train.datasets.phantom import Arrays, Jitter
from train.recipe import Augment, Option, Recipe, RecipeError
from train.report import CardFacts, Report
from train.splits import Split

EVALUATION_BATCH = 16


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
    """What is learnt.

    Attributes
    ----------
    score
        The validation number by which weights are compared; smaller is better.
    finding
        Which finding uses the network.
    """

    score: str
    finding: str

    def network(self, size: int) -> nn.Module:
        """Build the untrained network."""

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Carry weights to another input size."""

    def data(self, cohort: Path, split: Split, size: int) -> Data:
        """Open a part of the cohort."""

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Set the normalisation from the training data, and load what the recipe starts from."""

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute ``loss`` and its terms."""

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """Score the network on up to `most` evenly chosen samples."""

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on one part of the patients; choose thresholds on the validation patients."""

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""


def batches(
    data: Data, most: int, network: nn.Module, size: int = EVALUATION_BATCH
) -> Iterator[dict[str, Tensor]]:
    """Yield evenly chosen samples without randomness, on the network's device."""
    device = next(network.parameters()).device
    chosen = np.linspace(0, len(data) - 1, min(most, len(data))).astype(int)
    for at in range(0, len(chosen), size):
        arrays = data.batch(chosen[at : at + size].tolist(), None)
        yield {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def jitter_of(augment: Augment) -> Jitter:
    """Make the jitter that a recipe asks for."""
    return Jitter(augment.gain, augment.gamma, augment.shift, augment.scale, augment.rotation_deg)


def loss_table(recipe: Recipe, defaults: Mapping[str, float]) -> dict[str, float]:
    """Return the recipe's weights of the loss, with defaults.

    Raises
    ------
    RecipeError
        The recipe has one that the task does not know.
    """
    _require_known("loss", recipe.loss, defaults)
    return {**defaults, **recipe.loss}


def options_table(recipe: Recipe, defaults: Mapping[str, Option]) -> dict[str, Option]:
    """Return the recipe's options, with defaults.

    Raises
    ------
    RecipeError
        The recipe has one that the task does not know, or of another type.
    """
    _require_known("options", recipe.options, defaults)
    problems = [
        f"options.{name}: {value!r} should be like {defaults[name]!r}"
        for name, value in recipe.options.items()
        if type(value) is not type(defaults[name])
    ]
    if problems:
        raise RecipeError(problems)
    return {**defaults, **recipe.options}


def _require_known(where: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise RecipeError([f"{where}.{key}: not known to this task ({names})" for key in unknown])
