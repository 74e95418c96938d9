"""Echo-E3Net: ejection fraction and borders of apical clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from models.echo_e3net import EchoE3Net, resize_state
from models.preprocess import CLIP_LENGTH, CLIP_PERIOD, SIZE
from train import metrics
from train.datasets.phantom import EjectionFractionClips
from train.losses import EjectionFractionLoss, point_distance
from train.macs import count_macs
from train.recipe import Recipe
from train.report import CardFacts, Report
from train.scoring.ejection_fraction import evaluate_ejection_fraction
from train.splits import Split
from train.tasks.base import Data, batches, jitter_of, loss_table


class EjectionFractionTask:
    """Echo-E3Net: ejection fraction and borders of apical clips."""

    score = "rmse"
    finding = "ejection_fraction"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = jitter_of(recipe.augment)
        weights = {"border": 1.0, "simpson": 0.2, "simpson_after": 0.1}
        self._loss = EjectionFractionLoss(**loss_table(recipe, weights))

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

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on one part of the patients."""
        return evaluate_ejection_fraction(network, cohort, split)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        if not isinstance(network, EchoE3Net):
            raise TypeError("not an Echo-E3Net")
        return CardFacts(
            input={
                "frames": CLIP_LENGTH,
                "period": CLIP_PERIOD,
                "size": SIZE,
                "range": "grey 0 to 255",
            },
            normalisation={
                "where": "in the network",
                "mean": round(float(network.mean), 4),
                "std": round(float(network.std), 4),
            },
            macs=count_macs(network, torch.zeros(1, 1, CLIP_LENGTH, SIZE, SIZE, dtype=torch.uint8)),
            paper={
                "source": "arXiv 2503.17543 v1, EchoNet-Dynamic",
                "rmse_points": 5.15,
                "r2": 0.82,
            },
        )
