"""RSMAS-Net: aortic stenosis and its severity in single frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from models.rsmas_net import SIZE, VIEWS, RsmasNet, StenosisLogits
from train import metrics
from train.datasets.stills import NO_SEVERITY, StenosisStills
from train.recipe import Recipe
from train.report import CardFacts, Report
from train.scoring.aortic_stenosis import evaluate_stenosis
from train.splits import Split
from train.tasks.base import EVALUATION_BATCH, Data, batches, jitter_of, loss_table, options_table

#: Valve areas at the limits of the two questions, and the margin that a factor of e is worth.
STENOSIS_CM2, SEVERE_CM2, MARGIN = 2.1, 1.0, 4.0
#: Convolutions, linear layers and matrix products of one frame of 112 x 112.
_MACS = 968_818_688
_PAPER = {
    "source": "Frontiers in Medicine 2025, 1587307; TMED-2, single images; split after "
    "augmentation, patients perhaps not apart",
    "study_stenosis_accuracy": 0.9467,
    "study_stenosis_auc": 0.95,
    "study_severity_auc": 0.93,
    "any_phase_study_stenosis_accuracy": 0.9467,
    "any_phase_study_stenosis_auc": 0.95,
    "any_phase_study_severity_auc": 0.93,
}


class AorticStenosisTask:
    """RSMAS-Net's two questions, learnt together; severity counts where there is a stenosis."""

    score = "error"
    finding = "aortic_stenosis"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = jitter_of(recipe.augment)
        known_terms = {"severity": 1.0, "area": 0.0, "beside": 0.0, "label_smoothing": 0.0}
        self._weights = loss_table(recipe, known_terms)
        known = {"dropout": 0.0, "others_every": 1, "shut_every": 1, "lesson": False}
        options = options_table(recipe, known)
        self._lesson = bool(options["lesson"])
        self._dropout = float(options["dropout"])
        self._every = {name: int(options[name]) for name in ("others_every", "shut_every")}
        self._start = recipe.start

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; any size goes."""
        return RsmasNet(self._dropout).to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> StenosisStills:
        """Open a part of the cohort."""
        every = self._every if split == "train" else {}
        lesson = self._lesson and size < SIZE
        return StenosisStills(cohort, split, size, self._jitter, lesson=lesson, **every)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Take stem and layer1 to layer3 from the recipe's ResNet50, if it names one."""
        if self._start and isinstance(network, RsmasNet):
            network.load_backbone(load_file(self._start))

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Cross-entropy of both questions, and their weighted sum."""
        return self._terms(network(batch["frames"]), batch)

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """1 - mean of the two areas under the ROC curve, and the loss, on single frames."""
        logits: list[StenosisLogits] = []
        truth: list[dict[str, Tensor]] = []
        for batch in batches(data, most, network, 4 * EVALUATION_BATCH):
            with torch.no_grad():
                logits.append(network(batch["frames"]))
            truth.append(batch)
        both = StenosisLogits(
            torch.cat([each.stenosis for each in logits]).float(),
            torch.cat([each.severity for each in logits]).float(),
        )
        names = ("stenosis", "severity")
        answers = {name: torch.cat([b[name] for b in truth]) for name in (*names, "area")}
        areas = {}
        for name, logit in zip(names, (both.stenosis, both.severity), strict=True):
            known = answers[name] != NO_SEVERITY
            margin = (logit[:, 1] - logit[:, 0])[known]
            areas[name] = metrics.auroc(answers[name][known].cpu().numpy(), margin.cpu().numpy())
        return {
            "error": 1 - (areas["stenosis"] + areas["severity"]) / 2,
            "stenosis_auc": areas["stenosis"],
            "severity_auc": areas["severity"],
            "loss": float(self._terms(both, answers)["loss"]),
        }

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score frames and studies of one part of the patients."""
        return evaluate_stenosis(network, cohort, split)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={"size": SIZE, "range": "grey 0 to 255", "views": list(VIEWS)},
            normalisation={
                "where": "in the network",
                "kind": "each frame to mean 0 and standard deviation 1, three equal channels",
            },
            macs=_MACS,
            paper=_PAPER,
        )

    def _terms(self, logits: StenosisLogits, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        smoothing = self._weights["label_smoothing"]
        stenosis = functional.cross_entropy(
            logits.stenosis, batch["stenosis"], label_smoothing=smoothing
        )
        # A mean over what is known that is 0, not NaN, for a batch without any stenosis.
        known = (batch["severity"] != NO_SEVERITY).sum().clamp_min(1)
        severity = functional.cross_entropy(
            logits.severity,
            batch["severity"],
            ignore_index=NO_SEVERITY,
            label_smoothing=smoothing,
            reduction="sum",
        )
        severity = severity / known
        area = area_term(logits, batch["area"])
        weighted = self._weights["severity"] * severity + self._weights["area"] * area
        terms = {"stenosis_loss": stenosis, "severity_loss": severity, "area_loss": area}
        if logits.evidence is not None and self._weights["beside"]:
            terms["beside_loss"] = beside_term(logits.evidence, batch["valve_at"])
            weighted = weighted + self._weights["beside"] * terms["beside_loss"]
        return {"loss": stenosis + weighted, **terms}


def area_term(logits: StenosisLogits, area: Tensor) -> Tensor:
    """Huber loss of both questions' logit margins against the logarithm of the valve's area.

    Grades are steps of one continuous quantity. Where it is known, a margin that follows it says
    more than on which side of a step it lies: fewer frames are needed. Not from the paper.

    Parameters
    ----------
    logits
        Of B frames.
    area
        cm², ``(B,)``; NaN where it is not known.
    """
    known = torch.isfinite(area)
    terms = []
    for logit, limit in ((logits.stenosis, STENOSIS_CM2), (logits.severity, SEVERE_CM2)):
        margin = (logit[:, 1] - logit[:, 0])[known]
        wanted = MARGIN * torch.log(limit / area[known])
        terms.append(functional.huber_loss(margin, wanted, reduction="sum"))
    return (terms[0] + terms[1]) / (2 * known.sum().clamp_min(1))


def beside_term(evidence: Tensor, valve_at: Tensor) -> Tensor:
    """How far the evidence is from lying on the valve, mean over the frames that show it.

    Every cell of the last map sees the whole frame, so a network may answer from any of them, and
    may hold large activations of opposite sign in neighbours, which cancel in the mean and of which
    Grad-CAM++ shows the positive one: it points beside the valve. Not from the paper.

    Parameters
    ----------
    evidence
        Of A answers in each cell, ``(B, A, h, w)``.
    valve_at
        Middle of the valve, x and y as shares of the frame, ``(B, 2)``; NaN where it is not seen.

    Returns
    -------
    1 - cosine between the evidence and the valve's place, interpolated linearly between the middles
    of the cells: 0 to 2.
    """
    known = torch.isfinite(valve_at).all(1)
    rows, columns = evidence.shape[2:]
    at = torch.where(known[:, None], valve_at, 0.5)
    down, across = _shares(at[:, 1], rows), _shares(at[:, 0], columns)
    place = (down[:, :, None] * across[:, None, :]).flatten(1)[:, None]
    beside = 1 - functional.cosine_similarity(evidence.flatten(2), place, dim=2).mean(1)
    return beside[known].sum() / known.sum().clamp_min(1)


def _shares(at: Tensor, count: int) -> Tensor:
    """Weights of linear interpolation between `count` cells of the side, ``(B, count)``."""
    middles = torch.arange(count, device=at.device) + 0.5
    distance = (at * count).clamp(0.5, count - 0.5)[:, None] - middles
    return (1 - distance.abs()).clamp_min(0.0)
