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


def test_area_under_the_curve_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 2, 60), rng.integers(0, 8, 60) / 8  # many ties
    pairs = [(a > b) + 0.5 * (a == b) for a in score[truth == 1] for b in score[truth == 0]]
    assert metrics.auroc(truth, score) == pytest.approx(np.mean(pairs))
    assert metrics.auroc(truth, 1 - score) == pytest.approx(1 - np.mean(pairs))
    assert np.isnan(metrics.auroc(np.ones(4, int), score[:4]))


def test_average_precision_by_hand() -> None:
    truth, score = np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    assert metrics.average_precision(truth, score) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Ties are one step: their order must not matter.
    tied = np.full(5, 0.5)
    assert metrics.average_precision(truth, tied) == pytest.approx(3 / 5)
    assert np.isnan(metrics.average_precision(np.zeros(2, int), np.ones(2)))


def test_rates_of_decisions() -> None:
    truth, called = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    assert metrics.sensitivity(truth, called) == metrics.recall(truth, called) == 2 / 3
    assert metrics.specificity(truth, called) == 1 / 2
    assert metrics.precision(truth, called) == 2 / 3
    assert metrics.f1(truth, called) == pytest.approx(2 / 3)
    assert metrics.f1(truth, np.zeros(5, int)) == 0.0
    assert np.isnan(metrics.precision(truth, np.zeros(5, int)))


def test_draws_without_a_class_are_left_out() -> None:
    truth, score = np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.95])
    found = metrics.bootstrap(metrics.auroc, (truth, score), range(4), draws=200)
    assert found.value == pytest.approx(2 / 3)
    assert 0 <= found.low <= found.high <= 1
