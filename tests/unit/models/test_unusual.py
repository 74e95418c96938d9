"""Unusual inputs: ranks among the validation patients, and what survives the card."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from models.unusual import FeatureStatistics

FEATURES = 60
_MIX = np.random.default_rng(0).normal(size=(4, FEATURES))


def inputs(count: int, seed: int, noise: float = 0.3) -> npt.NDArray[np.float64]:
    """Features that vary along four directions, with little noise, off zero."""
    rng = np.random.default_rng(seed)
    return 5 + rng.normal(size=(count, 4)) @ _MIX + noise * rng.normal(size=(count, FEATURES))


def test_new_inputs_of_the_same_kind_are_spread_over_all_percentiles() -> None:
    statistics = FeatureStatistics.fit(inputs(600, 1))
    ranks = statistics.percentile(inputs(2000, 2))
    for level in (25, 50, 75, 95):
        assert abs((ranks <= level).mean() - level / 100) < 0.05
    # as many as the limit says, although none of them took part in the fit
    assert (ranks > statistics.limit).mean() < 0.03


def test_what_no_validation_input_does_is_outside() -> None:
    statistics = FeatureStatistics.fit(inputs(600, 1))
    rng = np.random.default_rng(3)
    # each feature lies where it often lies, but their combination is another one
    shuffled = rng.permuted(inputs(200, 4), axis=0)
    assert (statistics.percentile(shuffled) > statistics.limit).mean() > 0.95
    assert statistics.percentile(inputs(1, 5) + 100) == [100.0]


def test_patients_of_many_inputs_are_held_out_whole() -> None:
    rng = np.random.default_rng(6)
    patients = np.repeat(np.arange(30), 20)
    # what differs between patients, and hardly within one
    values = np.repeat(rng.normal(size=(30, FEATURES)), 20, axis=0)
    values += 0.05 * rng.normal(size=values.shape)
    new = rng.normal(size=(300, FEATURES))
    by_patient = FeatureStatistics.fit(values, patients.tolist()).percentile(new)
    by_input = FeatureStatistics.fit(values).percentile(new)
    assert (by_patient > 99).mean() < 0.3 < 0.9 < (by_input > 99).mean()


def test_constant_features_neither_divide_by_zero_nor_hide_the_others() -> None:
    values = inputs(300, 7)
    values[:, :20] = 2.0
    statistics = FeatureStatistics.fit(values)
    usual = inputs(100, 8)
    usual[:, :20] = 2.0
    assert np.isfinite(statistics.percentile(usual)).all()
    assert (statistics.percentile(usual) > 99).mean() < 0.1
    moved = usual.copy()
    moved[:, 0] += 5.0
    assert (statistics.percentile(moved) > 99).mean() > 0.9
    same = FeatureStatistics.fit(np.ones((10, 3)))
    assert same.percentile(np.ones((1, 3))).tolist() != [float("nan")]


def test_a_card_holds_it() -> None:
    statistics = FeatureStatistics.fit(inputs(200, 1))
    text = json.dumps(statistics.as_json())
    again = FeatureStatistics.from_json(json.loads(text))
    new = inputs(50, 9)
    np.testing.assert_allclose(again.percentile(new), statistics.percentile(new), atol=0.5)
    assert (again.limit, again.inputs) == (99.0, 200)
    assert "99 %" in again.policy


def test_a_card_stays_small_for_many_features() -> None:
    values = np.random.default_rng(1).normal(size=(200, 2048)).astype(np.float32)
    assert len(json.dumps(FeatureStatistics.fit(values).as_json())) < 50_000


def test_few_inputs_are_enough_to_try_a_training() -> None:
    statistics = FeatureStatistics.fit(inputs(3, 1), [7, 7, 7])
    assert np.isfinite(statistics.percentile(inputs(2, 2))).all()


@pytest.mark.parametrize("values", [np.ones((1, 3)), np.full((5, 3), np.nan), np.ones(5)])
def test_refuses_what_says_nothing(values: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="two or more inputs"):
        FeatureStatistics.fit(values)


def test_refuses_the_features_of_another_network() -> None:
    statistics = FeatureStatistics.fit(inputs(50, 1))
    with pytest.raises(ValueError, match="not 60 features"):
        statistics.percentile(np.ones((2, 59)))
    with pytest.raises(ValueError, match="lack 'mean'"):
        FeatureStatistics.from_json({"limit": 99})
