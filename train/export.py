"""Turns a finished training into weights that the node loads: safetensors and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from models.cards import SIMULATED, Card
from models.echo_e3net import EchoE3Net
from models.preprocess import CLIP_LENGTH, CLIP_PERIOD, SIZE
from models.view_net import VIEWS
from models.weights import count_parameters, save_weights
from train import checkpoint
from train.evaluate import Report, evaluate_ejection_fraction, evaluate_views
from train.loop import BEST, LAST
from train.recipe import Recipe
from train.splits import Split
from train.tasks import task_of

_LICENCE = "MIT, as the project"


def trained_network(recipe: Recipe, folder: Path) -> nn.Module:
    """Load the best averaged weights of a training, or the last when there are no best ones yet."""
    path = folder / BEST if (folder / BEST).exists() else folder / LAST
    saved = checkpoint.load(path)
    size = recipe.stage[-1].size
    task = task_of(recipe)
    network = task.network(size)
    network.load_state_dict(task.resized(saved.averaged, size))
    return network.eval()


def evaluate(recipe: Recipe, network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score a network on one part of the patients."""
    if recipe.task == "ejection_fraction":
        return evaluate_ejection_fraction(network, cohort, split)
    return evaluate_views(network, cohort, split)


def export(recipe: Recipe, network: nn.Module, report: Report, cohort: Path, folder: Path) -> Card:
    """Write ``<name>.safetensors`` and ``<name>.json`` into `folder`."""
    patients = len(json.loads((cohort / "patients.json").read_text()))
    ejection_fraction = recipe.task == "ejection_fraction"
    card = Card(
        name=recipe.name,
        version=recipe.version,
        network=type(network).__name__,
        finding=recipe.task,
        sha256="",
        parameters=count_parameters(network),
        training_data=f"{patients} simulated patients (train.phantom), 80 % of them trained on; "
        "no patient data",
        licence=_LICENCE,
        normalisation=_normalisation(network),
        input=_clip_input() if ejection_fraction else _frame_input(),
        metrics={"data": "simulated patients", **report.metrics},
        thresholds=report.thresholds,
        intended_use="development and demonstration of the node",
        statement=SIMULATED,
        calibration=report.calibration,
    )
    return save_weights(network.state_dict(), card, folder)


def _normalisation(network: nn.Module) -> dict[str, Any]:
    if isinstance(network, EchoE3Net):
        return {
            "where": "in the network",
            "mean": round(float(network.mean), 4),
            "std": round(float(network.std), 4),
        }
    return {"where": "in the network", "kind": "each frame to mean 0 and standard deviation 1"}


def _clip_input() -> dict[str, Any]:
    return {"frames": CLIP_LENGTH, "period": CLIP_PERIOD, "size": SIZE, "range": "grey 0 to 255"}


def _frame_input() -> dict[str, Any]:
    return {"size": SIZE, "range": "grey 0 to 255", "views": list(VIEWS)}
