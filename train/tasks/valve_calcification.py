"""The valve classifier: whether a cropped aortic valve is calcified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.valve_classifier import ValveClassifier
from models.valve_crop import SIZE
from train import metrics
from train.datasets.valve import CropJitter, ValveCrops
from train.recipe import Recipe, RecipeError
from train.report import CardFacts, Report
from train.scoring.valve_calcification import evaluate_chain
from train.splits import Split
from train.tasks.base import EVALUATION_BATCH, Data, batches, jitter_of, loss_table, options_table

_MACS = 219_725_880
_NORM_MOMENTUM = 0.05


class ValveCalcificationTask:
    """MobileNetV3-Large without pooling on crops of the valve."""

    score = "cross_entropy"
    finding = "valve_calcification"

    def __init__(self, recipe: Recipe) -> None:
        self._grey = jitter_of(recipe.augment)
        augment = recipe.augment
        options = options_table(recipe, {"mirror": True, "dropout": 0.3})
        self._jitter = CropJitter(
            augment.shift, augment.scale, augment.rotation_deg, bool(options["mirror"])
        )
        self._dropout = float(options["dropout"])
        self._smoothing = loss_table(recipe, {"label_smoothing": 0.0})["label_smoothing"]
        if recipe.stage[-1].size != SIZE:
            raise RecipeError([f"stage.size: the last stage has to have {SIZE}"])

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; it is the same for all sizes."""
        network = ValveClassifier(self._dropout).to(memory_format=torch.channels_last)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # torchvision's 0.01 is for long trainings; here statistics have to follow sooner
                module.momentum = _NORM_MOMENTUM
        return network

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> ValveCrops:
        """Open a part of the cohort."""
        return ValveCrops(cohort, split, size, self._jitter, self._grey)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Do nothing: grey is brought to -1 to 1."""

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute the binary cross-entropy."""
        target = batch["calcified"] * (1 - self._smoothing) + self._smoothing / 2
        return {
            "loss": functional.binary_cross_entropy_with_logits(network(batch["crops"]), target)
        }

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """Cross-entropy, area under the ROC curve and accuracy of crops of the true boxes."""
        truth, logits = [], []
        for batch in batches(data, most, network, 2 * EVALUATION_BATCH):
            with torch.no_grad():
                logits.append(network(batch["crops"]).float())
            truth.append(batch["calcified"])
        t, x = torch.cat(truth), torch.cat(logits)
        labels = t.cpu().numpy().astype(int)
        return {
            "cross_entropy": float(functional.binary_cross_entropy_with_logits(x, t)),
            "auc": metrics.auroc(labels, x.cpu().numpy()),
            "accuracy": metrics.accuracy(labels, (x > 0).cpu().numpy().astype(int)),
        }

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score the chain of detector, crop and classifier on one part of the patients."""
        return evaluate_chain(network, cohort, split)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={
                "size": SIZE,
                "range": "grey 0 to 255",
                "preparation": "crop of the detector's box less its minimum",
            },
            normalisation={"where": "in the network", "kind": "grey / 127.5 - 1"},
            macs=_MACS,
            paper={
                "source": "MobileNetV3-Large without pooling on 61 frames of 41 patients, split by "
                "frame",
                "accuracy": 0.96,
                "precision": 0.92,
                "recall": 1.0,
                "f1": 0.96,
            },
        )
