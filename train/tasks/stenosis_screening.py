"""EcgNet and CxrNet fitted together to the label by cooperative learning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.cxr_net import Backbone
from models.stenosis_fusion import FusionOutput, StenosisFusion
from train import checkpoint, metrics
from train.agreement import RHO_GRID, choose_agreement
from train.cooperative_loss import cooperative_loss, rescale
from train.datasets.fusion import FusionPairs, held_out
from train.faithfulness import faithfulness_of
from train.recipe import Recipe, RecipeError
from train.report import CardFacts, Report
from train.scoring.stenosis_screening import MODALITIES, PatientScores, predict, summary_of
from train.splits import Split
from train.tasks.base import Data, batches, jitter_of, options_table
from train.tasks.ecg_features import MACS as ECG_MACS
from train.tasks.xray_features import MACS as XRAY_MACS

PAPER = {
    "source": "Front. Radiol. 2025, 1698680; 7,483 patients, prevalence lower than here",
    "auroc": 0.812,
    "auroc_ecg_alone": 0.775,
    "auroc_xray_alone": 0.755,
    "auprc": 0.3,
}
_FILMS = 24  # on which heatmaps are tested
_DEFAULTS: dict[str, str | int | float | bool] = {
    "backbone": "efficientnet_lite0",
    "modality": "both",
    "ecg_start": "",
    "xray_start": "",
    "fixed_ecg_resnet": True,
    "noise_mv": 0.02,
    "autocontrast": 0.25,
    "fitted_on": 600,
}


class CooperativeNet(StenosisFusion):
    """Both networks as they are trained.

    `rho` and `rho_auroc` (of the validation patients for each of RHO_GRID) are kept with the
    weights, since they are chosen before the first step.

    Parameters
    ----------
    backbone
        Of the films' network.
    modality
        ``both``, or the only one that is trained and scored; the other one's score is 0.
    fixed_resnet
        The ECG's ResNet stays as it was pre-trained; everything after it learns.
    """

    rho: Tensor
    rho_auroc: Tensor

    def __init__(self, backbone: Backbone, modality: str, fixed_resnet: bool) -> None:
        super().__init__(backbone)
        self.modality = modality
        self.register_buffer("rho", torch.zeros(()))
        self.register_buffer("rho_auroc", torch.zeros(len(RHO_GRID)))
        self._fixed_resnet = fixed_resnet
        if fixed_resnet:
            self.ecg.lead.requires_grad_(False)

    def train(self, mode: bool = True) -> CooperativeNet:
        """Keep the statistics of a ResNet that does not learn."""
        super().train(mode)
        if self._fixed_resnet:
            self.ecg.lead.eval()
        return self

    def forward(self, windows: Tensor, films: Tensor) -> FusionOutput:
        """Score patients; parameters as of StenosisFusion."""
        none = torch.zeros(len(films), device=films.device)
        ecg = none if self.modality == "xray" else self.ecg(windows).score
        xray = none if self.modality == "ecg" else self.xray(films)
        return FusionOutput(ecg, xray)


class StenosisScreeningTask:
    """Moderate or severe aortic stenosis from an ECG and a chest film of the same patient.

    The recipe's options: ``backbone`` of the films' network; ``modality``, both, ecg or xray (one
    alone learns by cross-entropy of its sigmoid); ``ecg_start`` and ``xray_start``, checkpoints of
    the trainings that come before; ``fixed_ecg_resnet``; ``noise_mv`` and ``autocontrast`` of the
    augmentation; ``fitted_on``, how many patients the first linear fit uses.
    """

    score = "loss"
    finding = "stenosis_screening"

    def __init__(self, recipe: Recipe) -> None:
        options = options_table(recipe, _DEFAULTS)
        problems = []
        if options["backbone"] not in get_args(Backbone):
            problems.append(f"options.backbone: one of {', '.join(get_args(Backbone))}")
        if options["modality"] not in ("both", *MODALITIES):
            problems.append("options.modality: both, ecg or xray")
        if problems:
            raise RecipeError(problems)
        self._options = options
        self._jitter = jitter_of(recipe.augment)

    def network(self, size: int) -> CooperativeNet:
        """Build the untrained networks."""
        backbone = cast(Backbone, self._options["backbone"])
        modality = str(self._options["modality"])
        fixed = bool(self._options["fixed_ecg_resnet"])
        return CooperativeNet(backbone, modality, fixed).to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> FusionPairs:
        """Open a part of the cohort."""
        noise, contrast = float(self._options["noise_mv"]), float(self._options["autocontrast"])
        return FusionPairs(cohort, split, size, noise, self._jitter, contrast)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Load the pre-trained networks; choose rho; bring the scores to the label's scale."""
        if not isinstance(network, CooperativeNet) or not isinstance(data, FusionPairs):
            return
        _load(network.ecg, str(self._options["ecg_start"]))
        _load(network.xray, str(self._options["xray_start"]))
        if network.modality != "both":
            return
        network.eval()
        held = predict(network, data.beside("val"), windows=1)
        fitted = predict(network, data, windows=1, most=int(self._options["fitted_on"]))
        chosen = choose_agreement(fitted, held)
        network.rho.fill_(chosen.rho)
        network.rho_auroc.copy_(torch.tensor(chosen.auroc))
        rescale(network.ecg.head, *chosen.ecg)
        rescale(network.xray.head, *chosen.xray)

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute the cooperative loss, or the cross-entropy of the only modality."""
        net: Any = network  # Fabric's wrapper hands attributes through
        found: FusionOutput = network(batch["windows"], batch["films"])
        return _loss(found, batch["label"], net.modality, float(net.rho))

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """The loss, and AUROCs from the middle window of each recording."""
        net: Any = network
        ecg, xray, label = [], [], []
        for batch in batches(data, most, network):
            with torch.no_grad():
                found: FusionOutput = network(batch["windows"], batch["films"])
            ecg.append(found.ecg)
            xray.append(found.xray)
            label.append(batch["label"])
        e, x, y = (torch.cat(parts).float() for parts in (ecg, xray, label))
        truth = y.long().cpu().numpy()
        return {
            "loss": float(_loss(FusionOutput(e, x), y, net.modality, float(net.rho))["loss"]),
            "auroc": metrics.auroc(truth, (e + x).cpu().numpy()),
            "auroc_ecg": metrics.auroc(truth, e.cpu().numpy()),
            "auroc_xray": metrics.auroc(truth, x.cpu().numpy()),
        }

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on the patients of another seed where the cohort has them, else on one part."""
        if not isinstance(network, CooperativeNet):
            raise TypeError("not a CooperativeNet")
        held = predict(network, FusionPairs(cohort, "val"))
        others = held_out(cohort) if split == "test" else ()
        asked = others or (FusionPairs(cohort, split),)
        scored = PatientScores.joined([predict(network, data) for data in asked])
        about: dict[str, Any] = {
            "split": "patients of another seed" if others else split,
            "modality": network.modality,
            "rho": float(network.rho),
            "rho_validation_auroc": {
                f"{rho:g}": round(float(a), 4)
                for rho, a in zip(RHO_GRID, network.rho_auroc, strict=True)
            },
        }
        found = summary_of(held, scored, about)
        films = asked[0].films(range(min(_FILMS, len(asked[0]))))
        return Report(
            {**found.metrics, **faithfulness_of(network.xray, films)},
            found.thresholds,
            found.calibration,
            found.feature_statistics,
        )

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the cards tell of the networks together; train.fusion_export divides it."""
        return CardFacts(
            input={"ecg": "12 leads x 1000 samples at 500 Hz, mV", "film": "224 x 224, grey"},
            normalisation={"where": "in the networks"},
            macs=ECG_MACS + XRAY_MACS,
            paper=PAPER,
        )


def _loss(found: FusionOutput, label: Tensor, modality: str, rho: float) -> dict[str, Tensor]:
    if modality == "both":
        return cooperative_loss(found.ecg, found.xray, label, rho)
    return {"loss": functional.binary_cross_entropy_with_logits(found.prediction, label)}


def _load(network: nn.Module, path: str) -> None:
    """Load the averaged weights of a training whose network has more heads."""
    if not path:
        return
    known = network.state_dict()
    saved = checkpoint.load(Path(path)).averaged
    network.load_state_dict({name: saved[name] for name in known})
