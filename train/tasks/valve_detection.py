"""The valve detector: where the aortic valve lies in a short-axis frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.yolo.anchors import ANCHORS, decode
from models.yolo.boxes import suppress
from models.yolo.detector import SIZE, ValveDetector
from train.datasets.valve import ValveFrames
from train.detection_loss import DetectionLoss
from train.recipe import Recipe
from train.report import CardFacts, Report
from train.scoring import detection
from train.scoring.valve_detection import LEAST_CONFIDENCE, evaluate_detector
from train.splits import Split
from train.tasks.base import Data, batches, jitter_of, loss_table

#: Multiply-adds of one frame of 640 x 640.
_MACS = 7_877_017_600
_OVERLAPS = np.arange(0.5, 0.96, 0.05)


class ValveDetectionTask:
    """The YOLOv5-shaped detector on short-axis frames."""

    score = "error"
    finding = "valve_calcification"

    def __init__(self, recipe: Recipe) -> None:
        self._jitter = jitter_of(recipe.augment)
        table = loss_table(recipe, {"box": 0.05, "objectness": 1.0})
        self._loss = DetectionLoss(table["box"], table["objectness"])

    def network(self, size: int) -> nn.Module:
        """Build the untrained network; any multiple of 32 goes."""
        return ValveDetector().to(memory_format=torch.channels_last)

    def resized(self, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
        """Nothing depends on the size."""
        return dict(state)

    def data(self, cohort: Path, split: Split, size: int) -> ValveFrames:
        """Open a part of the cohort."""
        return ValveFrames(cohort, split, size, self._jitter)

    def prepare(self, network: nn.Module, data: Data) -> None:
        """Do nothing: grey is divided by 255."""

    def loss(
        self, network: nn.Module, batch: dict[str, Tensor], progress: float
    ) -> dict[str, Tensor]:
        """Compute box and objectness terms and their sum."""
        return self._loss(network(batch["frames"]), batch["box"], batch["present"])

    def validate(self, network: nn.Module, data: Data, most: int) -> dict[str, float]:
        """1 - mean average precision over IoU 0.5 to 0.95, and that at 0.5."""
        found, boxes, present = [], [], []
        for batch in batches(data, most, network):
            with torch.no_grad():
                candidates = decode(network(batch["frames"]))
            found += [
                suppress(each, LEAST_CONFIDENCE, most=detection.KEPT).float().cpu().numpy()
                for each in candidates
            ]
            boxes.append(batch["box"].cpu().numpy())
            present.append(batch["present"].cpu().numpy())
        m = detection.match(found, np.concatenate(boxes), np.concatenate(present))
        areas = [detection.average_precision(m.present, m.score, m.overlap, t) for t in _OVERLAPS]
        return {"error": 1 - float(np.mean(areas)), "ap50": areas[0]}

    def evaluate(self, network: nn.Module, cohort: Path, split: Split) -> Report:
        """Score on one part of the patients."""
        return evaluate_detector(network, cohort, split)

    def describe(self, network: nn.Module) -> CardFacts:
        """Say what the card tells of the network."""
        return CardFacts(
            input={
                "size": SIZE,
                "range": "grey 0 to 255",
                "preparation": "sector cropped and letterboxed with grey 114",
                "anchors": [list(map(list, anchors)) for anchors in ANCHORS],
            },
            normalisation={"where": "in the network", "kind": "grey / 255 in three channels"},
            macs=_MACS,
            paper={
                "source": "YOLOv5s on 61 short-axis frames of 41 patients, split by frame",
                "precision": 0.95,
                "recall": 1.0,
                "f1": 0.98,
            },
        )
