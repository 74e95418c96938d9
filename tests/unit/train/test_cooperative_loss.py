"""The cooperative loss is the paper's: its gradients, its stationary point, its exact minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.cooperative_loss import (
    cooperative_loss,
    fit_linear,
    rescale,
    stationary_ecg_score,
)

RHOS = (0.0, 0.3, 1.0, 2.5)


@pytest.mark.parametrize("rho", RHOS)
def test_gradients(rho: float) -> None:
    torch.manual_seed(0)
    ecg, xray = (torch.randn(7, dtype=torch.float64, requires_grad=True) for _ in range(2))
    label = torch.tensor([0.0, 1, 1, 0, 1, 0, 0], dtype=torch.float64)
    loss = cooperative_loss(ecg, xray, label, rho)["loss"]
    of_ecg, of_xray = torch.autograd.grad(loss, (ecg, xray))
    gap = label - ecg - xray
    torch.testing.assert_close(of_ecg, ((-gap + rho * (ecg - xray)) / 7).detach())
    torch.testing.assert_close(of_xray, ((-gap - rho * (ecg - xray)) / 7).detach())


@pytest.mark.parametrize("rho", RHOS)
def test_stationary_point(rho: float) -> None:
    label, xray = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.2, -0.1, 0.7])
    ecg = stationary_ecg_score(label, xray, rho).requires_grad_()
    (gradient,) = torch.autograd.grad(cooperative_loss(ecg, xray, label, rho)["loss"], ecg)
    torch.testing.assert_close(gradient, torch.zeros(3))


def test_full_agreement_gives_each_half_the_label() -> None:
    label = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(stationary_ecg_score(label, torch.randn(2), 1.0), label / 2)


@pytest.mark.parametrize("rho", RHOS)
def test_linear_fit_is_the_minimum(rho: float) -> None:
    rng = np.random.default_rng(1)
    ecg, xray = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    label = (ecg[:, 0] + xray[:, 0] + rng.normal(size=200) > 0).astype(float)
    first, second = fit_linear(ecg, xray, label, rho)

    def loss(a: np.ndarray, b: np.ndarray) -> float:
        scores = (torch.from_numpy(ecg @ a), torch.from_numpy(xray @ b))
        return float(cooperative_loss(*scores, torch.from_numpy(label), rho)["loss"])

    least = loss(first, second)
    for _ in range(20):
        a, b = rng.normal(0, 0.02, 3), rng.normal(0, 0.02, 2)
        assert loss(first + a, second + b) > least
    assert least < loss(np.zeros(3), np.zeros(2))


def test_agreement_draws_scores_together() -> None:
    rng = np.random.default_rng(2)
    ecg, xray = rng.normal(size=(500, 1)), rng.normal(size=(500, 1))
    ecg, xray = np.hstack([ecg, np.ones((500, 1))]), np.hstack([xray, np.ones((500, 1))])
    label = (2 * ecg[:, 0] + 0.5 * xray[:, 0] + rng.normal(size=500) > 0).astype(float)
    gaps = []
    for rho in RHOS:
        a, b = fit_linear(ecg, xray, label, rho)
        gaps.append(float(np.mean((ecg @ a - xray @ b) ** 2)))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.5 * gaps[0]


def test_rescaled_layer() -> None:
    layer = torch.nn.Linear(4, 1)
    features = torch.randn(5, 4)
    before = layer(features)
    rescale(layer, 0.3, -1.5)
    torch.testing.assert_close(layer(features), 0.3 * before - 1.5)
