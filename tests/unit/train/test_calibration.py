"""Calibration and thresholds: what they promise holds on what they were chosen on."""

from __future__ import annotations

import numpy as np
import pytest

from models.probability import sigmoid
from train import metrics
from train.calibration import (
    fit_platt,
    fit_temperature,
    threshold_for_balanced,
    threshold_for_sensitivity,
)


def test_platt_finds_slope_and_intercept() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 20, 20_000)
    truth = (rng.random(20_000) < sigmoid(0.15 * logit - 0.8)).astype(int)
    found = fit_platt(truth, logit)
    assert found.slope == pytest.approx(0.15, rel=0.06)
    assert found.intercept == pytest.approx(-0.8, abs=0.06)


def test_platt_stays_finite_where_classes_are_apart() -> None:
    found = fit_platt(np.array([0, 0, 0, 1, 1]), np.array([-9.0, -8.0, -7.0, 7.0, 8.0]))
    assert np.isfinite([found.slope, found.intercept]).all()
    assert 0.5 < float(found(np.array(8.0))) < 0.95  # Platt's targets: 3 of 4, not certainty
    assert float(found(np.array(-8.0))) < 0.3


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1, (20_000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random(20_000)[:, None] > p.cumsum(1)).sum(1)
    assert fit_temperature(truth, 2.5 * logits) == pytest.approx(2.5, rel=0.08)


@pytest.mark.parametrize("least", [0.8, 0.95, 1.0])
def test_sensitivity_is_reached_and_no_more_is_given_away(least: float) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 400)
    p = sigmoid(rng.normal(1.5 * truth, 1.0))
    chosen = threshold_for_sensitivity(truth, p, least)
    called = (p >= chosen.value).astype(int)
    higher = (p > chosen.value).astype(int)
    assert metrics.sensitivity(truth, called) >= least > metrics.sensitivity(truth, higher)
    assert f"{least:.2f}" in chosen.policy
    rounded = chosen.as_json()["value"]
    assert chosen.value - 1e-4 <= rounded <= chosen.value


def test_balanced_threshold_is_the_best_one() -> None:
    truth = np.array([0, 0, 0, 1, 0, 1, 1])
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    chosen = threshold_for_balanced(truth, p)
    scores = [metrics.balanced_accuracy(truth, (p >= t).astype(int)) for t in np.arange(0, 1, 0.01)]
    best = metrics.balanced_accuracy(truth, (p >= chosen.value).astype(int))
    assert best == pytest.approx(max(scores)) == 0.875
    assert 0.3 < chosen.value <= 0.4
