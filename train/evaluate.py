"""Scores trained weights on patients that training never saw, and chooses thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.view_net import VIEWS
from train import metrics
from train.datasets.phantom import EjectionFractionClips, ViewFrames
from train.losses import point_distance, simpson_ejection_fraction
from train.splits import Split

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Report:
    """What goes into the card.

    Attributes
    ----------
    metrics
        Numbers with intervals on the test patients, and counts.
    thresholds, calibration
        Chosen on the validation patients.
    """

    metrics: dict[str, Any]
    thresholds: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)


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
    return Report(table, thresholds)


def evaluate_views(network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score ViewNet on frames and on clips (mean probability over a clip's frames)."""
    temperature = _temperature(*_predict_frames(network, ViewFrames(cohort, "val"))[:2])
    data = ViewFrames(cohort, split)
    logits, truth = _predict_frames(network, data)
    probabilities = _softmax(logits / temperature)
    clip_truth, clip_probabilities, clip_patients = _by_clip(data, truth, probabilities)
    frame_pair = (truth, probabilities.argmax(1))
    clip_pair = (clip_truth, clip_probabilities.argmax(1))
    table: dict[str, Any] = {
        "split": split,
        "patients": len(set(data.patient_ids)),
        "frames": len(truth),
        "clips": len(clip_truth),
        "frame_balanced_accuracy": metrics.bootstrap(
            metrics.balanced_accuracy, frame_pair, data.patient_ids
        ).as_json(),
        "clip_balanced_accuracy": metrics.bootstrap(
            metrics.balanced_accuracy, clip_pair, clip_patients
        ).as_json(),
        "views": list(VIEWS),
        "clip_confusion": metrics.confusion(*clip_pair, len(VIEWS)).tolist(),
    }
    held = ViewFrames(cohort, "val")
    held_logits, held_truth = _predict_frames(network, held)
    t, p, _ = _by_clip(held, held_truth, _softmax(held_logits / temperature))
    thresholds = {
        "view_probability": {
            "value": round(_accepting(t, p), 3),
            "policy": "smallest mean probability, at least 0.5, above which 99 % of the validation "
            "clips are called rightly",
        }
    }
    return Report(table, thresholds, {"temperature": round(temperature, 4)})


def _predict_clips(network: nn.Module, data: EjectionFractionClips) -> _EjectionFractions:
    truth, predicted, simpson, distance = [], [], [], []
    device = next(network.parameters()).device
    for positions in _chunks(len(data)):
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


def _predict_frames(
    network: nn.Module, data: ViewFrames
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    logits, truth = [], []
    device = next(network.parameters()).device
    for positions in _chunks(len(data), 8 * _BATCH):
        arrays = data.batch(positions, None)
        with torch.inference_mode():
            out = network(torch.from_numpy(arrays["frames"]).to(device))
        logits.append(out.float().cpu().numpy())
        truth.append(arrays["view"])
    return np.concatenate(logits).astype(np.float64), np.concatenate(truth)


def _by_clip(
    data: ViewFrames, truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[int]]:
    """Average over the frames of each clip; also return each clip's patient."""
    _, first, owner = np.unique(data.clip_ids, return_index=True, return_inverse=True)
    summed = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(summed, owner, probabilities)
    patients = np.asarray(data.patient_ids)[first].tolist()
    return truth[first], summed / np.bincount(owner)[:, None], patients


def _temperature(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    """Divide logits by this for calibrated probabilities (Guo et al., ICML 2017)."""
    x, t = torch.from_numpy(logits), torch.from_numpy(truth)
    candidates = np.geomspace(0.25, 4.0, 81)
    losses = [float(functional.cross_entropy(x / c, t)) for c in candidates]
    return float(candidates[int(np.argmin(losses))])


def _accepting(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    top, called = probabilities.max(1), probabilities.argmax(1)
    for threshold in np.arange(0.5, 0.95, 0.01):
        accepted = top >= threshold
        if accepted.any() and (called == truth)[accepted].mean() >= 0.99:
            return float(threshold)
    return 0.95


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean())


def _chunks(count: int, size: int = _BATCH) -> Iterator[list[int]]:
    for at in range(0, count, size):
        yield list(range(at, min(at + size, count)))
