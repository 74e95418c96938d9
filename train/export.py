"""Turns a finished training into weights that the node loads: safetensors and a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from torch import nn

from models.cards import SIMULATED, Card
from models.encoding import decode, encode
from models.stenosis_fusion import StenosisFusion
from models.weights import count_parameters, save_weights
from train import checkpoint
from train.fusion_export import export_both
from train.loop import BEST, LAST
from train.recipe import Recipe
from train.report import Report
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
    return task_of(recipe).evaluate(network, cohort, split)


def as_encoded(recipe: Recipe, network: nn.Module) -> nn.Module:
    """Round the network's weights to what the blob will hold, in place."""
    network.load_state_dict(decode(encode(network.state_dict(), recipe.encoding)))
    return network


def with_encoding_loss(report: Report, before: Report) -> Report:
    """Note by how much each number changed when the weights were encoded."""
    changes = {
        name: round(value["value"] - before.metrics[name]["value"], 5)
        for name, value in report.metrics.items()
        if isinstance(value, dict) and "value" in value and name in before.metrics
    }
    return replace(report, metrics={**report.metrics, "change_by_encoding": changes})


def export(
    recipe: Recipe,
    network: nn.Module,
    report: Report,
    cohort: Path,
    folder: Path,
    origin: str = "",
) -> Card:
    """Write ``<name>.safetensors`` and ``<name>.json`` into `folder`.

    Stenosis screening has two of each; the ECG's card is returned. `origin` says what the training
    began with, if that were weights with patients behind them.
    """
    patients = len(json.loads((cohort / "patients.json").read_text()))
    task = task_of(recipe)
    facts = task.describe(network)
    card = Card(
        name=recipe.name,
        version=recipe.version,
        network=type(network).__name__,
        finding=task.finding,
        sha256="",
        parameters=count_parameters(network),
        macs=facts.macs,
        training_data=f"{patients} simulated patients (train.phantom), 80 % of them trained on; "
        "no patient data" + (f"; {origin}" if origin else ""),
        licence=_LICENCE,
        normalisation=facts.normalisation,
        input=facts.input,
        metrics={"data": "simulated patients", **report.metrics},
        paper=facts.paper,
        thresholds=report.thresholds,
        intended_use="development and demonstration of the node",
        statement=SIMULATED,
        calibration=report.calibration,
        feature_statistics=report.feature_statistics,
        encoding=recipe.encoding,
    )
    if isinstance(network, StenosisFusion):
        return export_both(network, card, folder)[0]
    return save_weights(network.state_dict(), card, folder)
