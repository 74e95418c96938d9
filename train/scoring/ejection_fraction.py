"""Scores Echo-E3Net: ejection fraction and borders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.echo_e3net import EchoE3Net
from train import metrics
from train.datasets.phantom import EjectionFractionClips
from train.feature_statistics import feature_statistics
from train.losses import point_distance, simpson_ejection_fraction
from train.report import Report
from train.scoring.chunks import chunks
from train.splits import Split


@dataclass(frozen=True, slots=True)
class _EjectionFractions:
    truth: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]
    simpson: npt.NDArray[np.float64]
    border_distance: npt.NDArray[np.float64]
    patients: list[int]


def evaluate_ejection_fraction(network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score Echo-E3Net: the mean over all starts of a clip, as the node does.

    Returns
    -------
    RMSE, MAE, bias (points) and R² of the ejection fraction, the border error as a share of the
    side, the ejection fraction of the borders; and the threshold above which ejection fraction and
    borders disagree too much.
    """
    found = _predict_clips(network, EjectionFractionClips(cohort, split))
    pair = (found.truth, found.predicted)
    table: dict[str, Any] = {
        "split": split,
        "patients": len(set(found.patients)),
        "clips": len(found.patients),
        "truth_sd_points": round(float(found.truth.std()), 2),
    }
    for name, metric in (
        ("rmse_points", metrics.rmse),
        ("mae_points", metrics.mae),
        ("bias_points", metrics.bias),
        ("r2", metrics.r2),
    ):
        table[name] = metrics.bootstrap(metric, pair, found.patients).as_json()
    table["border_distance"] = metrics.bootstrap(
        _mean, (found.border_distance,), found.patients
    ).as_json()
    table["simpson_rmse_points"] = metrics.bootstrap(
        metrics.rmse, (found.truth, found.simpson), found.patients
    ).as_json()
    chosen = _predict_clips(network, EjectionFractionClips(cohort, "val"))
    gap = np.abs(chosen.predicted - chosen.simpson)
    thresholds = {
        "border_disagreement_percent": {
            "value": round(float(np.quantile(gap, 0.99)), 2),
            "policy": "99th percentile of |EF - EF of the borders| on the validation patients",
        }
    }
    unusual = feature_statistics(network, _features(network), EjectionFractionClips(cohort, "val"))
    return Report(table, thresholds, feature_statistics=unusual)


def _features(network: nn.Module) -> Callable[[dict[str, Tensor]], Tensor]:
    if not isinstance(network, EchoE3Net):
        raise TypeError("ejection fractions are scored of an Echo-E3Net")
    return lambda batch: network.pooled(network.features(batch["clips"]))


def _predict_clips(network: nn.Module, data: EjectionFractionClips) -> _EjectionFractions:
    truth, predicted, simpson, distance = [], [], [], []
    device = next(network.parameters()).device
    for positions in chunks(len(data)):
        fractions, borders = [], []
        for start in range(data.starts):
            arrays = data.batch(positions, None, start)
            with torch.inference_mode():
                prediction = network(torch.from_numpy(arrays["clips"]).to(device))
            fractions.append(prediction.ejection_fraction.float().cpu())
            borders.append(prediction.borders.float().cpu())
        border = torch.stack(borders).mean(0)
        truth.append(100 * arrays["ef"])
        predicted.append(100 * torch.stack(fractions).mean(0).numpy())
        simpson.append(100 * simpson_ejection_fraction(border).numpy())
        distance.append(point_distance(border, torch.from_numpy(arrays["borders"])).numpy())
    t, p, s, d = (
        np.concatenate(x).astype(np.float64) for x in (truth, predicted, simpson, distance)
    )
    return _EjectionFractions(t, p, s, d, data.patient_ids)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean())
