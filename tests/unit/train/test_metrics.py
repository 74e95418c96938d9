"""Metrics against hand-made numbers, and the bootstrap's properties."""

from __future__ import annotations

import numpy as np
import pytest

from train import metrics


def test_regression_numbers() -> None:
    truth, predicted = np.array([50.0, 60.0, 70.0]), np.array([53.0, 60.0, 66.0])
    assert metrics.rmse(truth, predicted) == pytest.approx(np.sqrt(25 / 3))
    assert metrics.mae(truth, predicted) == pytest.approx(7 / 3)
    assert metrics.bias(truth, predicted) == pytest.approx(-1 / 3)
    assert metrics.r2(truth, predicted) == pytest.approx(1 - 25 / 200)
    assert metrics.r2(np.ones(3), predicted) == 0.0


def test_classification_numbers() -> None:
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert metrics.balanced_accuracy(truth, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert metrics.confusion(truth, predicted, 3).tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_bootstrap_draws_patients_and_repeats() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.normal(50, 10, 40), 5)
    predicted = truth + np.repeat(rng.normal(0, 5, 40), 5)
    patients = np.repeat(np.arange(40), 5).tolist()
    clustered = metrics.bootstrap(metrics.rmse, (truth, predicted), patients, draws=200)
    again = metrics.bootstrap(metrics.rmse, (truth, predicted), patients, draws=200)
    single = metrics.bootstrap(metrics.rmse, (truth, predicted), range(200), draws=200)
    assert clustered == again
    assert clustered.low < clustered.value < clustered.high
    # Clips of one patient err together: pretending they were independent narrows the interval.
    assert clustered.high - clustered.low > 1.5 * (single.high - single.low)
