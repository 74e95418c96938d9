"""Scores the valve detector on whole frames, and chooses its confidences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.unusual import FeatureStatistics
from models.yolo.boxes import suppress
from models.yolo.detector import ValveDetector
from train import metrics
from train.datasets.valve import ValveFrames
from train.report import Report
from train.scoring import detection
from train.scoring.chunks import chunks
from train.splits import Split

_BATCH = 8
#: Below this nothing is called a detection, not even for the average precision.
LEAST_CONFIDENCE = 0.01
_OTHER_LEVELS_SHARE = 0.9
#: That of the paper. A valve that is missed is not classified; a wrong box is seen by a reader.
_LEAST_PRECISION = 0.95


@dataclass(frozen=True, slots=True)
class _Found:
    matched: detection.Matched
    features: npt.NDArray[np.float32]
    patients: list[int]


def evaluate_detector(network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score the detector at IoU 0.5.

    Frames of other short-axis levels have no valve, and any box on them is wrong.
    """
    val, data = ValveFrames(cohort, "val"), ValveFrames(cohort, split)
    held = _detect(network, val, _unlike(val))
    found = _detect(network, data, list(range(len(data))))
    confidence = finding_confidence(held.matched)
    table = detection.counts(found.matched, confidence)
    matched = found.matched
    overlaps = matched.overlap[:, 0][matched.present & (matched.overlap[:, 0] >= 0.5)]
    empty = table[~matched.present]
    report: dict[str, Any] = {
        "split": split,
        "patients": len(set(found.patients)),
        "frames": len(table),
        "frames_without_valve": len(empty),
        "arithmetic": "bfloat16",
        "false_boxes_on_frames_without_valve": int(empty[:, 1].sum()),
        "mean_iou_of_found": round(float(overlaps.mean()), 4) if len(overlaps) else None,
    }
    for name, metric in (
        ("precision", detection.precision),
        ("recall", detection.recall),
        ("f1", detection.f1),
    ):
        report[name] = metrics.bootstrap(metric, (table,), found.patients).as_json()
    report["average_precision"] = metrics.bootstrap(
        detection.average_precision,
        (matched.present, matched.score, matched.overlap),
        found.patients,
    ).as_json()
    return Report(
        report,
        _thresholds(held.matched, confidence),
        feature_statistics=FeatureStatistics.fit(held.features, held.patients).as_json(),
    )


def detections(network: nn.Module, frames: torch.Tensor) -> list[npt.NDArray[np.float32]]:
    """Suppressed boxes of frames uint8 ``(B, 1, S, S)``: ``(K, 5)`` for each."""
    return _detections(network, frames)[0]


def _detections(
    network: nn.Module, frames: torch.Tensor
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    if not isinstance(network, ValveDetector):
        raise TypeError(f"not a valve detector: {type(network).__name__}")
    # As a node with a GPU computes; on a CPU with bfloat16 units it is several times faster.
    with torch.no_grad(), torch.autocast(frames.device.type, torch.bfloat16):
        candidates, features = network.candidates(frames)
    found = [
        suppress(each, LEAST_CONFIDENCE, most=detection.KEPT).float().cpu().numpy()
        for each in candidates
    ]
    return found, features.float().cpu().numpy()


def _detect(network: nn.Module, data: ValveFrames, positions: list[int]) -> _Found:
    device = next(network.parameters()).device
    found, features, boxes, present = [], [], [], []
    for part in chunks(len(positions), _BATCH):
        arrays = data.batch([positions[i] for i in part], None)
        kept, pooled = _detections(network, torch.from_numpy(arrays["frames"]).to(device))
        found += kept
        features.append(pooled)
        boxes.append(arrays["box"])
        present.append(arrays["present"])
    matched = detection.match(found, np.concatenate(boxes), np.concatenate(present))
    patients = [int(data.row(position)["patient_id"]) for position in positions]
    return _Found(matched, np.concatenate(features), patients)


def _unlike(data: ValveFrames) -> list[int]:
    """Leave out frames of the same patient, level and phase as the one before: they look alike."""
    looks = [
        (row["patient_id"], row["plane"], row["diastolic"])
        for row in map(data.row, range(len(data)))
    ]
    return [at for at, look in enumerate(looks) if at == 0 or look != looks[at - 1]]


def finding_confidence(
    matched: detection.Matched, least_precision: float = _LEAST_PRECISION
) -> float:
    """The confidence that finds most valves while enough of the boxes are right.

    The highest one among equals; where none is precise enough, the most precise.
    """
    tried = np.round(np.arange(0.05, 0.96, 0.01), 2)
    tables = [detection.counts(matched, c) for c in tried]
    precision = np.nan_to_num([detection.precision(table) for table in tables])
    recall = np.nan_to_num([detection.recall(table) for table in tables])
    enough = precision >= min(least_precision, precision.max())
    best = np.flatnonzero(enough & (recall >= recall[enough].max()))
    return float(tried[best[-1]])


def _thresholds(matched: detection.Matched, confidence: float) -> dict[str, Any]:
    elsewhere = np.maximum(matched.score[~matched.present, 0], 0.0)
    absent = float(np.quantile(elsewhere, _OTHER_LEVELS_SHARE)) if len(elsewhere) else confidence
    return {
        "valve_confidence": {
            "value": round(confidence, 3),
            "policy": f"largest recall with a precision of at least {_LEAST_PRECISION} at IoU 0.5 "
            "on the validation frames, other levels included",
        },
        "no_valve_confidence": {
            "value": round(max(min(absent, confidence), LEAST_CONFIDENCE), 3),
            "policy": f"{_OTHER_LEVELS_SHARE:.0%} of the validation frames of other levels have no "
            "surer box; below it the image is taken as one without the valve",
        },
    }
