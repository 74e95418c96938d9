"""Scores the whole chain of a patient: detector, crop, classifier, median over diastolic frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.cards import Card
from models.unusual import FeatureStatistics
from models.valve_classifier import ValveClassifier
from models.valve_crop import crop_valve
from models.weights import load_network
from train import metrics
from train.calibration import fit_platt, threshold_for_sensitivity
from train.datasets.valve import ValveFrames
from train.report import Report
from train.scoring.chunks import chunks
from train.scoring.valve_detection import detections
from train.splits import Split

DETECTOR = "valve_detector"
_BATCH = 8
#: The paper misses no calcified valve; what is called only for that is "undetermined".
_SENSITIVITY, _SPECIFICITY = 0.99, 0.95
#: The paper's heuristic calls a valve calcified when a pixel is brighter than one of these.
_BRIGHT = tuple(range(190, 221, 5))


@dataclass(frozen=True, slots=True)
class _Patients:
    """One entry for each patient whose valve was found.

    Attributes
    ----------
    truth, logit, brightest
        Calcified (0, 1); medians over diastolic frames of the logit, and of the brightest pixel.
    patients
        Their numbers.
    features
        Of every crop, ``(crops, 960)``.
    without_box
        Patients whose valve was not found in any diastolic frame.
    """

    truth: npt.NDArray[np.int64]
    logit: npt.NDArray[np.float64]
    brightest: npt.NDArray[np.float64]
    patients: list[int]
    features: npt.NDArray[np.float32]
    without_box: int


def evaluate_chain(network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score the classifier behind the detector of the exported weights.

    Thresholds and calibration come from the validation patients; so does the brightness of the
    paper's heuristic, which is scored beside it. F1, recall and precision count what is
    undetermined as called; ``surely_...`` count only what is called for sure.
    """
    detector, card = load_network(DETECTOR)
    detector = detector.to(memory_format=torch.channels_last)
    held = _read(network, detector, card, cohort, "val")
    found = _read(network, detector, card, cohort, split)
    platt = fit_platt(held.truth, held.logit)
    probability, held_probability = platt(found.logit), platt(held.logit)
    threshold = threshold_for_sensitivity(held.truth, held_probability, _SENSITIVITY)
    limits = {
        "calcified": threshold.as_json(),
        "calcified_surely": _sure(held.truth, held_probability, threshold.value),
    }
    called = (probability >= limits["calcified"]["value"]).astype(np.int64)
    table: dict[str, Any] = {
        "split": split,
        "patients": len(found.truth),
        "calcified_patients": int(found.truth.sum()),
        "patients_without_box": found.without_box,
    }
    for name, metric in (
        ("f1", metrics.f1),
        ("recall", metrics.recall),
        ("precision", metrics.precision),
        ("specificity", metrics.specificity),
        ("accuracy", metrics.accuracy),
    ):
        table[name] = metrics.bootstrap(metric, (found.truth, called), found.patients).as_json()
    table["auc"] = metrics.bootstrap(
        metrics.auroc, (found.truth, probability), found.patients
    ).as_json()
    surely = (probability >= limits["calcified_surely"]["value"]).astype(np.int64)
    for name, metric in (
        ("f1", metrics.f1),
        ("recall", metrics.recall),
        ("precision", metrics.precision),
    ):
        estimate = metrics.bootstrap(metric, (found.truth, surely), found.patients)
        table[f"surely_{name}"] = estimate.as_json()
    between = (called == 1) & (probability < limits["calcified_surely"]["value"])
    table["undetermined_share"] = round(float(between.mean()), 4)
    table["heuristic"] = _heuristic(held, found)
    return Report(
        table,
        limits,
        platt.as_json("calcified"),
        FeatureStatistics.fit(held.features).as_json(),
    )


def _sure(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64], least: float
) -> dict[str, Any]:
    """Choose the value from which a call is sure: few of the healthy reach it."""
    healthy = np.sort(probability[truth == 0])
    beyond = healthy[int(np.ceil(_SPECIFICITY * len(healthy))) - 1]
    value = max(float(np.nextafter(beyond, 1.0)), least)
    return {
        "value": float(np.ceil(value * 1e4) / 1e4),
        "policy": f"smallest value with a specificity of at least {_SPECIFICITY:.2f} on the "
        "validation patients; between the two it is undetermined",
    }


def _heuristic(held: _Patients, found: _Patients) -> dict[str, Any]:
    right = [metrics.accuracy(held.truth, _brighter(held, level)) for level in _BRIGHT]
    level = _BRIGHT[int(np.argmax(right))]
    pair = (found.truth, _brighter(found, level))
    return {
        "brighter_than": level,
        "accuracy": metrics.bootstrap(metrics.accuracy, pair, found.patients).as_json(),
        "f1": metrics.bootstrap(metrics.f1, pair, found.patients).as_json(),
    }


def _brighter(patients: _Patients, level: int) -> npt.NDArray[np.int64]:
    return (patients.brightest > level).astype(np.int64)


def _read(
    network: nn.Module, detector: nn.Module, card: Card, cohort: Path, split: Split
) -> _Patients:
    """Find the valve in every diastolic frame, classify it, and take each patient's median."""
    data = ValveFrames(cohort, split)
    confidence = card.threshold("valve_confidence")
    device = next(network.parameters()).device
    chosen = [i for i in range(len(data)) if data.row(i)["diastolic"] and data.row(i)["box"]]
    crops, owners = [], []
    for part in chunks(len(chosen), _BATCH):
        positions = [chosen[i] for i in part]
        frames = data.batch(positions, None)["frames"]
        boxes = detections(detector.to(device), torch.from_numpy(frames).to(device))
        for position, frame, found in zip(positions, frames, boxes, strict=True):
            if len(found) and found[0, 4] >= confidence:
                crops.append(crop_valve(frame[0], found[0, :4]))
                owners.append(position)
    logits, features = _classify(network, np.stack(crops))
    people = np.array([data.row(position)["patient_id"] for position in owners])
    calcified = np.array([data.row(position)["calcified"] for position in owners])
    brightest = np.array([crop.max() for crop in crops], np.float64)
    patients = np.unique(people)
    wanted = {data.row(position)["patient_id"] for position in chosen}
    return _Patients(
        truth=np.array([calcified[people == p][0] for p in patients], np.int64),
        logit=np.array([np.median(logits[people == p]) for p in patients]),
        brightest=np.array([np.median(brightest[people == p]) for p in patients]),
        patients=patients.tolist(),
        features=features,
        without_box=len(wanted) - len(patients),
    )


def _classify(
    network: nn.Module, crops: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    if not isinstance(network, ValveClassifier):
        raise TypeError(f"not a valve classifier: {type(network).__name__}")
    device = next(network.parameters()).device
    logits, features = [], []
    for part in chunks(len(crops), _BATCH):
        with torch.no_grad():
            maps = network.features(torch.from_numpy(crops[part][:, None]).to(device))
            logits.append(network.decide(maps).double().cpu().numpy())
        features.append(maps.float().mean((2, 3)).cpu().numpy())
    return np.concatenate(logits), np.concatenate(features)
