"""The study's answer from its images' views."""

from __future__ import annotations

import numpy as np
import pytest

from models.probability import Platt, logit, sigmoid
from models.view_priority import ENTROPY_GRID, RELEVANCE_GRID, ViewPriority, entropy, relevance

PLAX = [0.98, 0.01, 0.0, 0.0, 0.01]
HALF = [0.5, 0.45, 0.03, 0.01, 0.01]  # relevant, but of two minds
A4C = [0.01, 0.0, 0.99, 0.0, 0.0]
RULE = ViewPriority(0.9, 0.3)


def test_relevance_and_entropy() -> None:
    views = np.array([PLAX, A4C, [0.2] * 5, [1, 0, 0, 0, 0]])
    assert relevance(views) == pytest.approx([0.99, 0.01, 0.4, 1.0])
    assert entropy(views)[2:] == pytest.approx([np.log(5), 0.0], abs=1e-9)


def test_only_images_of_the_valve_speak_weighted_by_relevance() -> None:
    views = np.array([PLAX, HALF, A4C, [0.0, 0.92, 0.0, 0.0, 0.08]])
    said = np.array([[0.9, 0.2], [0.1, 0.9], [0.0, 1.0], [0.5, 0.4]])
    study = RULE.combine(views, said)
    assert RULE.passes(views).tolist() == [True, False, False, True]
    assert not study.fallback
    expected = (0.99 * said[0] + 0.92 * said[3]) / (0.99 + 0.92)
    assert study.answers == pytest.approx(expected)
    assert study.weights == pytest.approx([0.99 / 1.91, 0, 0, 0.92 / 1.91])


def test_where_none_passes_all_speak_by_relevance() -> None:
    views = np.array([A4C, HALF])
    study = RULE.combine(views, np.array([[0.0], [1.0]]))
    assert study.fallback
    assert study.answers == pytest.approx([0.95 / 0.96])
    blind = RULE.combine(np.array([[0, 0, 1.0, 0, 0]] * 2), np.array([[0.2], [0.6]]))
    assert blind.answers == pytest.approx([0.4])


def test_grids_are_those_of_the_original() -> None:
    assert (len(RELEVANCE_GRID), RELEVANCE_GRID[0], RELEVANCE_GRID[-1]) == (20, 0.8, 0.99)
    assert (len(ENTROPY_GRID), ENTROPY_GRID[2], ENTROPY_GRID[-1]) == (17, 0.2, 1.6)


def test_logit_and_platt() -> None:
    assert sigmoid(logit(np.array([0.1, 0.5, 0.9]))) == pytest.approx([0.1, 0.5, 0.9])
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
    assert sigmoid(-1e6) == 0.0
    assert Platt(1.0, 0.0).of_probability(0.3) == pytest.approx(0.3)
    assert Platt(2.0, 1.0).as_json("x") == {"x_slope": 2.0, "x_intercept": 1.0}
