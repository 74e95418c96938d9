"""EcgNet, first step: what an ECG measures, before it is fitted together with the X-ray.

Regression of voltage, QRS width, block, strain and the ECG's score from whole windows, and of the
waves' heights from single leads. So many targets let some thousand recordings train a ResNet-50.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.ecg import LEADS, RATE_HZ, WINDOW
from models.ecg_net import WIDTH, EcgNet
from train import checkpoint, metrics
from train.datasets.ecg import PATIENT_MEASURES, EcgWindows
from train.phantom.ecg.recording import LEAD_MEASURES
from train.recipe import Option, Recipe
from train.report import CardFacts, Report
from train.splits import Split
from train.tasks.base import Data, batches, loss_table, options_table

MACS = 9_511_000_000  # of a window of twelve leads; counted by a test
_SCORE = PATIENT_MEASURES.index("score")
_EVALUATED_WINDOWS = 5
_TOKEN_RECORDINGS = 8
# Of a lead's own targets: its waves, and what every lead shows of QRS width and block.
_LEAD_TARGETS = (*LEAD_MEASURES, "qrs_ms_without_block", "block")
_SHARED = [PATIENT_MEASURES.index(name) for name in _LEAD_TARGETS[len(LEAD_MEASURES) :]]


class Measured(NamedTuple):
    """What is learnt from.

    Attributes
    ----------
    score
        ``(N,)``, EcgNet's own.
    patient
        ``(N, 5)``, PATIENT_MEASURES, standardised.
    lead
        ``(N, K, 6)``, of each lead its waves, QRS width and block, standardised.
    """

    score: Tensor
    patient: Tensor
    lead: Tensor


class EcgFeaturesNet(EcgNet):
    """EcgNet with heads that measure; its other weights have EcgNet's names.

    The heads' targets are standardised with `mean` and `std` (patients) and `lead_mean` and
    `lead_std` (waves of all leads), set from the training data.
    """

    mean: Tensor
    std: Tensor
    lead_mean: Tensor
    lead_std: Tensor

    def __init__(self, fixed_resnet: bool = False) -> None:
        super().__init__()
        self._fixed_resnet = fixed_resnet
        if fixed_resnet:
            self.lead.requires_grad_(False)
        self.measure = nn.Linear(WIDTH, len(PATIENT_MEASURES))
        self.measure_lead = nn.Linear(WIDTH, len(_LEAD_TARGETS))
        self.register_buffer("mean", torch.zeros(len(PATIENT_MEASURES)))
        self.register_buffer("std", torch.ones(len(PATIENT_MEASURES)))
        self.register_buffer("lead_mean", torch.zeros(len(LEAD_MEASURES)))
        self.register_buffer("lead_std", torch.ones(len(LEAD_MEASURES)))

    def train(self, mode: bool = True) -> EcgFeaturesNet:
        """Keep the statistics of a ResNet that does not learn."""
        super().train(mode)
        if self._fixed_resnet:
            self.lead.eval()
        return self

    def forward(  # type: ignore[override]  # the training's forward is all that is wrapped
        self, windows: Tensor | None, leads: Tensor | None = None, tokens: Tensor | None = None
    ) -> Measured:
        """Score and measure windows, or what :meth:`EcgNet.tokens` made of them."""
        if tokens is None:
            if windows is None:
                raise ValueError("neither windows nor tokens")
            tokens = self.tokens(windows)
        output = self.decide(tokens, leads)
        by_lead = self.measure_lead(output.tokens).float()
        return Measured(output.score, self.measure(output.features).float(), by_lead)


class EcgFeaturesTask:
    """EcgNet's measuring heads and its score, on simulated patients.

    The recipe's options: ``leads`` drawn for each window, ``noise_mv`` that is added,
    ``fixed_resnet`` to train only what comes after the ResNet, on ``windows`` of each recording.
    """

    score = "unexplained"
    finding = "stenosis_screening"

    def __init__(self, recipe: Recipe) -> None:
        self._weights = loss_table(recipe, {"lead": 1.0, "patient": 1.0, "score": 1.0})
        defaults: dict[str, Option] = {
            "leads": 4, "noise_mv": 0.02, "fixed_resnet": False, "windows": 2,
        }  # fmt: skip
        options = options_table(recipe, defaults)
        self._leads, self._noise_mv = int(options["leads"]), float(options["noise_mv"])
        self._fixed_resnet, self._windows = bool(options["fixed_resnet"]), int(options["windows"])
        self._start = recipe.start

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; windows of any size go."""
        return EcgFeaturesNet(self._fixed_resnet).to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> EcgWindows:
        """Open a part of the cohort."""
        return EcgWindows(cohort, split, self._leads, self._noise_mv, size)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Set the standardisation of the targets; start from an earlier training.

        With a fixed ResNet each recording's windows go through it once, here, and only the encoder
        and the heads are computed in each step.
        """
        if isinstance(network, EcgFeaturesNet) and isinstance(data, EcgWindows):
            whole, leads = data.all_measures(), data.all_lead_measures().reshape(-1, 4)
            for buffer, values in ((network.mean, whole.mean(0)), (network.std, whole.std(0))):
                buffer.copy_(torch.from_numpy(values))
            network.lead_mean.copy_(torch.from_numpy(leads.mean(0)))
            network.lead_std.copy_(torch.from_numpy(leads.std(0)))
            if self._start:
                network.load_state_dict(checkpoint.load(Path(self._start)).averaged)
            if self._fixed_resnet:
                data.remember(_tokens_of(network, data, self._windows))

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Mean squared errors of the standardised targets, and of the score."""
        net: Any = network  # Fabric's wrapper hands attributes through
        found: Measured = network(batch.get("windows"), batch["leads"], batch.get("tokens"))
        patient = (batch["measures"] - net.mean) / net.std
        waves = (batch["lead_measures"] - net.lead_mean) / net.lead_std
        shared = patient[:, None, _SHARED].expand(-1, waves.shape[1], -1)
        terms = {
            "lead": functional.mse_loss(found.lead, torch.cat([waves, shared], dim=-1)),
            "patient": functional.mse_loss(found.patient, patient),
            "score": functional.mse_loss(found.score, batch["measures"][:, _SCORE]),
        }
        total = torch.stack([self._weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": total, **terms}

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """1 - R² of the score, and R² of each measure, from the middle window of each recording."""
        truth, predicted, scores = [], [], []
        for batch in batches(data, most, network):
            with torch.no_grad():
                found: Measured = network(batch["windows"])
            truth.append(batch["measures"])
            predicted.append(_in_units(network, found))
            scores.append(found.score)
        t, p, s = (torch.cat(x).float().cpu().numpy() for x in (truth, predicted, scores))
        each = {f"r2_{n}": metrics.r2(t[:, i], p[:, i]) for i, n in enumerate(PATIENT_MEASURES)}
        fitted = metrics.r2(t[:, _SCORE], s)
        return {"unexplained": 1 - fitted, "r2": fitted, **each}

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """R² with intervals, averaged over windows as the node does."""
        data = EcgWindows(cohort, split)
        truth = data.all_measures()
        predicted, scores = [], []
        for position in range(len(data)):
            windows = torch.from_numpy(data.windows(position, _EVALUATED_WINDOWS))
            with torch.no_grad():
                found: Measured = network(windows.to(next(network.parameters()).device))
            predicted.append(_in_units(network, found).mean(0).cpu().numpy())
            scores.append(float(found.score.mean()))
        p = np.stack(predicted).astype(np.float64)
        table: dict[str, Any] = {"split": split, "patients": len(data)}
        pairs = {name: (truth[:, i], p[:, i]) for i, name in enumerate(PATIENT_MEASURES)}
        pairs["fitted_score"] = (truth[:, _SCORE], np.array(scores))
        for name, pair in pairs.items():
            estimate = metrics.bootstrap(metrics.r2, pair, data.patient_ids)
            table[f"r2_{name}"] = estimate.as_json()
        return Report(table)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={"leads": list(LEADS), "samples": WINDOW, "hz": RATE_HZ, "unit": "mV"},
            normalisation={"where": "in the network", "kind": "batch normalisation of millivolts"},
            macs=MACS,
        )


def _tokens_of(network: EcgFeaturesNet, data: EcgWindows, windows: int) -> np.ndarray:
    """Compute tokens of all recordings, float16 ``(len, windows, 12, 256)``."""
    network.eval()
    device = next(network.parameters()).device
    found = []
    for first in range(0, len(data), _TOKEN_RECORDINGS):
        last = min(first + _TOKEN_RECORDINGS, len(data))
        cut = np.concatenate([data.windows(position, windows) for position in range(first, last)])
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            tokens = network.tokens(torch.from_numpy(cut).to(device))
        found.append(tokens.half().cpu().numpy().reshape(-1, windows, *tokens.shape[1:]))
    return np.concatenate(found)


def _in_units(network: nn.Module, found: Measured) -> Tensor:
    net: Any = network
    return found.patient * net.std + net.mean
