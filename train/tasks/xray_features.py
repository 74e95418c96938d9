"""CxrNet, first step: what a chest film measures, before it is fitted together with the ECG.

Regression of the cardiothoracic ratio, the calcium of the aortic arch and the film's score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cxr_net import SIZE, Backbone, CxrNet
from models.efficientnet_lite import FEATURES
from train import metrics
from train.datasets.xray import FILM_MEASURES, XrayFilms
from train.imagenet_start import imagenet_lite0
from train.recipe import Recipe, RecipeError
from train.report import CardFacts, Report
from train.splits import Split
from train.tasks.base import Data, batches, jitter_of, loss_table, options_table

IMAGENET = "imagenet"
MACS = 384_000_000  # of a film of 224 x 224 with Lite0; counted by a test
_SCORE = FILM_MEASURES.index("score")
_BATCH = 32


class XrayFeaturesNet(CxrNet):
    """CxrNet with a head that measures; its other weights have CxrNet's names.

    Targets are standardised with `target_mean` and `target_std`, set from the training data.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, backbone: Backbone = "efficientnet_lite0") -> None:
        super().__init__(backbone)
        self.measure = nn.Linear(FEATURES, len(FILM_MEASURES))
        self.register_buffer("target_mean", torch.zeros(len(FILM_MEASURES)))
        self.register_buffer("target_std", torch.ones(len(FILM_MEASURES)))

    def forward(  # type: ignore[override]  # the training's forward is all that is wrapped
        self, films: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return scores ``(B,)`` and standardised measures ``(B, 3)``."""
        pooled = self.pooled(self.features(films))
        measured: Tensor = self.measure(self.dropout(pooled))
        return self.decide(pooled), measured.float()


class XrayFeaturesTask:
    """CxrNet's score and measures, on simulated patients.

    The recipe's options: ``backbone``; ``autocontrast``, the probability to stretch a film's grey.
    Its ``start`` is empty or ``imagenet``.
    """

    score = "unexplained"
    finding = "stenosis_screening"

    def __init__(self, recipe: Recipe) -> None:
        self._weights = loss_table(recipe, {"measures": 1.0, "score": 1.0})
        options = options_table(recipe, {"backbone": "efficientnet_lite0", "autocontrast": 0.25})
        if options["backbone"] not in get_args(Backbone):
            raise RecipeError([f"options.backbone: one of {', '.join(get_args(Backbone))}"])
        if recipe.start not in ("", IMAGENET):
            raise RecipeError([f"start: empty or {IMAGENET}"])
        if recipe.start and options["backbone"] != "efficientnet_lite0":
            raise RecipeError(["start: ImageNet weights are at hand for efficientnet_lite0 only"])
        self._backbone = cast(Backbone, options["backbone"])
        self._autocontrast = float(options["autocontrast"])
        self._start = recipe.start
        self._jitter = jitter_of(recipe.augment)

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; any multiple of 32 goes."""
        return XrayFeaturesNet(self._backbone).to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> XrayFilms:
        """Open a part of the cohort."""
        return XrayFilms(cohort, split, size, self._jitter, self._autocontrast)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Set the standardisation of the targets, and load the ImageNet weights."""
        if isinstance(network, XrayFeaturesNet) and isinstance(data, XrayFilms):
            truth = data.measures()
            network.target_mean.copy_(torch.from_numpy(truth.mean(0)))
            network.target_std.copy_(torch.from_numpy(truth.std(0)))
            if self._start:
                network.backbone.load_state_dict(imagenet_lite0())

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Mean squared errors of the standardised measures and of the score."""
        net: Any = network  # Fabric's wrapper hands attributes through
        score, measured = network(batch["films"])
        target = (batch["measures"] - net.target_mean) / net.target_std
        terms = {
            "measures": functional.mse_loss(measured, target),
            "score": functional.mse_loss(score, batch["measures"][:, _SCORE]),
        }
        total = torch.stack([self._weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": total, **terms}

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """1 - R² of the score, and R² of each measure."""
        truth, predicted, scores = _predict(network, data, most)
        names = zip(FILM_MEASURES, truth.T, predicted.T, strict=True)
        each = {f"r2_{name}": metrics.r2(t, p) for name, t, p in names}
        fitted = metrics.r2(truth[:, _SCORE], scores)
        return {"unexplained": 1 - fitted, "r2": fitted, **each}

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """R² with intervals."""
        data = XrayFilms(cohort, split)
        truth, predicted, scores = _predict(network, data, len(data))
        pairs = {n: (truth[:, i], predicted[:, i]) for i, n in enumerate(FILM_MEASURES)}
        pairs["fitted_score"] = (truth[:, _SCORE], scores)
        table: dict[str, Any] = {"split": split, "patients": len(data)}
        for name, pair in pairs.items():
            table[f"r2_{name}"] = metrics.bootstrap(metrics.r2, pair, data.patient_ids).as_json()
        return Report(table)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={"size": SIZE, "range": "grey 0 to 255, air dark"},
            normalisation={"where": "in the network", "kind": "as the ImageNet weights expect"},
            macs=MACS,
        )


def _predict(
    network: nn.Module, data: Data, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    net: Any = network
    truth, predicted, scores = [], [], []
    for batch in batches(data, most, network, _BATCH):
        with torch.no_grad():
            score, measured = network(batch["films"])
        truth.append(batch["measures"])
        predicted.append(measured * net.target_std + net.target_mean)
        scores.append(score)
    t, p, s = (torch.cat(x).double().cpu().numpy() for x in (truth, predicted, scores))
    return t, p, s
