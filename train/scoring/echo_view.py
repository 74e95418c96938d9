"""Scores ViewNet on frames and on clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.view_net import VIEWS, ViewNet
from train import metrics
from train.datasets.phantom import ViewFrames
from train.feature_statistics import feature_statistics
from train.report import Report
from train.scoring.chunks import chunks
from train.splits import Split

_BATCH = 128


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
    unusual = feature_statistics(network, _features(network), held)
    return Report(table, thresholds, {"temperature": round(temperature, 4)}, unusual)


def _features(network: nn.Module) -> Callable[[dict[str, Tensor]], Tensor]:
    if not isinstance(network, ViewNet):
        raise TypeError("views are scored of a ViewNet")
    return lambda batch: network.pooled(network.features(batch["frames"])[1])


def _predict_frames(
    network: nn.Module, data: ViewFrames
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    logits, truth = [], []
    device = next(network.parameters()).device
    for positions in chunks(len(data), _BATCH):
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
