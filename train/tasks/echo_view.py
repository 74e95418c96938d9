"""ViewNet: the view of single frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.preprocess import SIZE
from models.view_net import VIEWS, ViewNet
from train import metrics
from train.datasets.phantom import ViewFrames
from train.macs import count_macs
from train.recipe import Recipe
from train.report import CardFacts, Report
from train.scoring.echo_view import evaluate_views
from train.splits import Split
from train.tasks.base import EVALUATION_BATCH, Data, batches, jitter_of, loss_table


class EchoViewTask:
    """ViewNet: the view of single frames."""

    score = "error"
    finding = "echo_view"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = jitter_of(recipe.augment)
        self._smoothing = loss_table(recipe, {"label_smoothing": 0.0})["label_smoothing"]

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
        for batch in batches(data, most, network, 4 * EVALUATION_BATCH):
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

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on one part of the patients."""
        return evaluate_views(network, cohort, split)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={"size": SIZE, "range": "grey 0 to 255", "views": list(VIEWS)},
            normalisation={
                "where": "in the network",
                "kind": "each frame to mean 0 and standard deviation 1",
            },
            macs=count_macs(network, torch.zeros(1, 1, SIZE, SIZE, dtype=torch.uint8)),
        )
