"""The validation patients' features on their way into a card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.unusual import FeatureStatistics
from train.feature_statistics import feature_statistics


class Numbers:
    """Three inputs of each patient, the patient's number among them."""

    def __init__(self, patients: int) -> None:
        self.read: list[int] = []
        self._patients = patients

    def __len__(self) -> int:
        return 3 * self._patients

    @property
    def patient_ids(self) -> list[int]:
        return [position // 3 for position in range(len(self))]

    def batch(
        self, positions: Sequence[int], rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        assert rng is None  # nothing random: the statistics are those of what the node sees
        self.read += positions
        noise = np.random.default_rng(positions[0]).normal(size=(len(positions), 4))
        noise[:, 0] += positions
        return {"x": noise.astype(np.float32)}


def features(batch: dict[str, Tensor]) -> Tensor:
    return 2 * batch["x"]


def test_every_input_is_read_once() -> None:
    data = Numbers(20)
    statistics = FeatureStatistics.from_json(feature_statistics(nn.Linear(1, 1), features, data))
    assert sorted(data.read) == list(range(60))
    assert statistics.inputs == 60
    far = statistics.percentile(np.array([[1000.0, 0, 0, 0], [60.0, 0, 0, 0]]))
    assert far[0] == 100.0 and far[1] < 99


def test_many_inputs_are_thinned_out_evenly() -> None:
    data = Numbers(50)
    table = feature_statistics(nn.Linear(1, 1), features, data, most=30)
    assert table["inputs"] == 30
    assert data.read[0] == 0 and data.read[-1] == 149 and len(set(data.read)) == 30


def test_no_gradients_are_kept() -> None:
    def watched(batch: dict[str, Tensor]) -> Tensor:
        assert torch.is_inference_mode_enabled()
        return features(batch)

    assert feature_statistics(nn.Linear(1, 1), watched, Numbers(4))["limit"] == pytest.approx(99)
