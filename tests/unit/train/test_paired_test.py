"""DeLong's test against what can be computed without it."""

from __future__ import annotations

import numpy as np
import pytest

from train import metrics
from train.paired_test import areas_and_covariance, delong


def _patients(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(count) < 0.4).astype(int)
    shared = rng.normal(size=count)
    first = truth * 1.1 + 0.5 * shared + rng.normal(size=count)
    second = truth * 0.7 + 0.5 * shared + rng.normal(size=count)
    return truth, first, second


def test_areas_are_aurocs_with_ties() -> None:
    truth, first, second = _patients(0)
    scores = np.stack([np.round(first), second])
    areas, _ = areas_and_covariance(truth, scores)
    assert areas[0] == pytest.approx(metrics.auroc(truth, scores[0]))
    assert areas[1] == pytest.approx(metrics.auroc(truth, scores[1]))


def test_a_case_by_hand() -> None:
    """Placements 1, 1/2 and 1, 1/2; both variances are 1/8, so 1/8 / 2 + 1/8 / 2 = 1/8."""
    truth, score = np.array([1, 1, 0, 0]), np.array([3.0, 1.5, 2.0, 1.0])
    areas, covariance = areas_and_covariance(truth, score[None])
    assert areas[0] == pytest.approx(0.75)
    assert covariance[0, 0] == pytest.approx(0.125)


def test_variance_of_the_difference_is_the_bootstraps() -> None:
    truth, first, second = _patients(1)
    found = delong(truth, first, second)
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(600):
        rows = rng.integers(len(truth), size=len(truth))
        t = truth[rows]
        drawn.append(metrics.auroc(t, first[rows]) - metrics.auroc(t, second[rows]))
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(np.std(drawn), rel=0.12)
    assert found.difference == pytest.approx(np.mean(drawn), abs=0.01)


def test_p_is_uniform_when_nothing_differs() -> None:
    values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = (rng.random(150) < 0.5).astype(int)
        noise = rng.normal(size=(2, 150))
        values.append(delong(truth, truth + noise[0], truth + noise[1]).p)
    assert 0.01 <= np.mean(np.array(values) < 0.05) <= 0.1


def test_equal_scores_and_a_clear_difference() -> None:
    truth, first, second = _patients(3)
    assert delong(truth, first, first).p == 1.0
    clear = delong(truth, truth + 0.01 * first, second)
    assert clear.p < 1e-6
    assert clear.low > 0
