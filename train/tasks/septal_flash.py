"""DenseNet121 on virtual M-mode strips: septal flash or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from models.septal_flash_net import CLASSES, SIZE, SeptalFlashNet, load_features, resize_state
from models.virtual_m_mode import STRIP_SIDE, Variant
from train import metrics
from train.datasets.septum import SeptumStrips
from train.recipe import Recipe, RecipeError
from train.report import CardFacts, Report
from train.scoring.septal_flash import evaluate_septal_flash
from train.splits import Split
from train.tasks.base import Data, batches, loss_table, options_table

_MACS = 3_700_426_752  # convolutions and the last layer at 256 x 256
_VALIDATION_BATCH = 32
_SOURCE = "FIMH 2023, hal-04096726, 29 test patients; the 95 % interval of 29 of 29 is 0.88 to 1.00"
_PAPER: dict[Variant, dict[str, Any]] = {
    "cropped": {"accuracy": 1.0, "auroc": 1.0, "whole_accuracy": 0.83, "whole_auroc": 0.95},
    "whole": {"accuracy": 0.83, "auroc": 0.95},
}


class SeptalFlashTask:
    """Septal flash on one variant of the strip.

    The recipe's options: ``variant``, cropped or whole; ``whole_weights``, a checkpoint of the
    whole variant that is scored beside this one where the file exists.
    """

    score = "cross_entropy"
    finding = "septal_flash"

    def __init__(self, recipe: Recipe) -> None:
        options = options_table(recipe, {"variant": "cropped", "whole_weights": ""})
        if options["variant"] not in get_args(Variant):
            raise RecipeError(["options.variant: cropped or whole"])
        self._variant = cast(Variant, options["variant"])
        self._place = loss_table(recipe, {"place": 0.0})["place"]
        self._beside = str(options["whole_weights"])
        self._start = recipe.start

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; any multiple of 32 goes."""
        return SeptalFlashNet(size).to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Interpolate the mean image."""
        return resize_state(state, size)

    def data(self, cohort: Path, split: Split, size: int) -> SeptumStrips:
        """Open a part of the cohort: all 11 lines of each patient, as in the paper."""
        return SeptumStrips(cohort, split, size, self._variant)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Take the mean image of the training data, and the features that the recipe names."""
        if isinstance(network, SeptalFlashNet) and isinstance(data, SeptumStrips):
            network.mean_image.copy_(torch.from_numpy(data.mean_image())[None, None])
            if self._start:
                load_features(network, load_file(self._start))

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Cross-entropy of softmax, and what the evidence costs that lies elsewhere."""
        logits, evidence = network(batch["strips"], with_evidence=True)
        answered = functional.cross_entropy(logits, batch["flash"])
        elsewhere = elsewhere_term(evidence, batch["place"])
        return {
            "loss": answered + self._place * elsewhere,
            "cross_entropy": answered,
            "elsewhere_loss": elsewhere,
        }

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """Cross-entropy, accuracy and AUROC of single strips."""
        truth, logits = [], []
        for batch in batches(data, most, network, _VALIDATION_BATCH):
            with torch.no_grad():
                logits.append(network(batch["strips"]).float())
            truth.append(batch["flash"])
        t, x = torch.cat(truth), torch.cat(logits)
        score = (x[:, 1] - x[:, 0]).cpu().numpy()
        return {
            "cross_entropy": float(functional.cross_entropy(x, t)),
            "accuracy": float((x.argmax(1) == t).float().mean()),
            "auroc": metrics.auroc(t.cpu().numpy(), score),
        }

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on one part of the patients, a strip through the point of interest each."""
        beside = Path(self._beside) if self._beside else None
        return evaluate_septal_flash(network, cohort, split, self._variant, beside)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={
                "variant": self._variant,
                "strip": STRIP_SIDE,
                "size": SIZE,
                "range": "grey 0 to 255",
                "classes": list(CLASSES),
            },
            normalisation={
                "where": "in the network",
                "kind": "the training set's mean image is subtracted; a buffer of the weights",
            },
            macs=_MACS,
            paper={"source": _SOURCE, **_PAPER[self._variant]},
        )


def elsewhere_term(evidence: Tensor, place: Tensor) -> Tensor:
    """Share of the evidence that lies outside the place where a flash would be; mean over strips.

    Each cell of the last map sees the whole strip, so a network may answer from any of them, and
    its Grad-CAM++ then points anywhere. Not from the paper, which leaves localisation open.

    Parameters
    ----------
    evidence
        Of each class, 0 or more, ``(B, 2, h, w)``.
    place
        Share of each cell that is septum x early systole, ``(B, h, w)``.
    """
    inside = (evidence * place[:, None]).sum((2, 3))
    return (1 - inside / evidence.sum((2, 3)).clamp_min(1e-6)).mean()
