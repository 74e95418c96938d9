"""The losses: right answers cost nothing, missing tracings are left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.echo_e3net import Prediction
from models.volumes import disc_sum_ejection_fraction
from tests.tiny_cohort import disc_border
from train.losses import EjectionFractionLoss, point_distance, simpson_ejection_fraction


def _borders(ef: float) -> torch.Tensor:
    shrunk = 24 * (1 - ef) ** (1 / 3)
    return torch.tensor([[disc_border(56, 60, 24), disc_border(56, 60, shrunk)]])


@pytest.mark.parametrize("ef", [0.15, 0.55, 0.8])
def test_ejection_fraction_of_two_spheres(ef: float) -> None:
    borders = _borders(ef)
    assert float(simpson_ejection_fraction(borders)) == pytest.approx(ef, abs=1e-4)
    turned = torch.stack([borders[..., 1], borders[..., 0]], -1)
    turned = torch.cat([turned, torch.stack([borders[..., 3], borders[..., 2]], -1)], -1)
    assert float(simpson_ejection_fraction(3 * turned)) == pytest.approx(ef, abs=1e-4)
    node = disc_sum_ejection_fraction(borders[0].double().numpy())
    assert float(simpson_ejection_fraction(borders.double())) == pytest.approx(node, abs=1e-9)


def test_the_truth_costs_nothing() -> None:
    borders = _borders(0.6)
    ef = torch.tensor([0.6])
    terms = EjectionFractionLoss()(Prediction(ef, borders), ef, borders, progress=1.0)
    assert float(terms["loss"]) < 1e-5


def test_clips_without_tracing_only_count_for_the_ejection_fraction() -> None:
    borders = torch.cat([_borders(0.6), _borders(0.3)]) + 0.01
    truth = torch.cat([_borders(0.6), torch.full((1, 2, 20, 4), torch.nan)])
    ef = torch.tensor([0.6, 0.3])
    predicted = Prediction(ef.clone().requires_grad_(), borders.requires_grad_())
    terms = EjectionFractionLoss()(predicted, ef, truth, progress=1.0)
    torch.autograd.backward(terms["loss"])
    assert terms["loss"].isfinite()
    assert borders.grad is not None
    assert borders.grad[0].abs().sum() > 0
    assert borders.grad[1].abs().sum() == 0
    none = EjectionFractionLoss()(predicted, ef, torch.full_like(truth, torch.nan), progress=1.0)
    assert float(none["loss"].detach()) == 0


def test_collapsed_borders_have_finite_gradients() -> None:
    borders = torch.zeros(2, 2, 20, 4, requires_grad=True)
    torch.autograd.backward(simpson_ejection_fraction(borders).sum())
    assert borders.grad is not None
    assert borders.grad.isfinite().all()


def test_point_distance() -> None:
    truth = _borders(0.6)
    moved = truth + torch.tensor([0.03, 0.04, 0.03, 0.04])
    np.testing.assert_allclose(point_distance(moved, truth).numpy(), [0.05], rtol=1e-5)
