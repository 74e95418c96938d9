"""ECG signals come to 500 Hz without shift, without baseline, and with their voltages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ecg import HOP, LEADS, WINDOW, complete_limb_leads, condition, cut_windows


def _waves(hz: float, seconds: float) -> np.ndarray:
    """Slow and fast waves inside the pass band; their periods fit a second."""
    t = np.arange(round(seconds * hz)) / hz
    return np.stack([np.cos(2 * np.pi * f * t) for f in (2.0, 7.0, 15.0)])


@settings(max_examples=30, deadline=None)
@given(st.integers(200, 2000), st.integers(2, 12))
def test_any_rate_gives_the_same_waves(hz: int, seconds: int) -> None:
    found = condition(_waves(hz, seconds), hz)
    expected = _waves(500, seconds)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    inner = slice(100, -100)  # beyond the ends a signal is its own mirror image
    np.testing.assert_allclose(found[:, inner], expected[:, inner], atol=0.04)


@settings(max_examples=30, deadline=None)
@given(st.floats(101.0, 2000.0), st.integers(500, 9000))
def test_odd_rates_give_the_right_length(hz: float, samples: int) -> None:
    found = condition(np.zeros((2, samples)), hz)
    assert found.shape == (2, round(samples * 500 / hz))
    assert not found.any()


def test_baseline_goes_and_pulses_stay() -> None:
    t = np.arange(5000) / 500
    pulses = np.exp(-0.5 * (((t % 1.0) - 0.5) / 0.02) ** 2)
    wander = 2.0 + 0.5 * np.sin(2 * np.pi * 0.15 * t)
    found = condition((pulses + wander)[None], 500.0)[0]
    assert abs(float(np.median(found))) < 1e-3
    at = 2750 + np.arange(-20, 21)
    assert int(found[at].argmax()) == int(pulses[at].argmax())
    assert float(found[at].max()) == pytest.approx(1.0, abs=0.06)


def test_what_is_above_150_hz_goes() -> None:
    t = np.arange(10_000) / 1000
    burst = np.hanning(len(t))
    fast = condition((burst * np.sin(2 * np.pi * 170 * t))[None], 1000.0)
    slow = condition((burst * np.sin(2 * np.pi * 130 * t))[None], 1000.0)
    assert float(np.abs(fast).max()) < 1e-3
    assert float(np.abs(slow).max()) == pytest.approx(1.0, rel=0.02)


def test_nothing_and_a_single_sample() -> None:
    assert condition(np.zeros((12, 0)), 500.0).shape == (12, 0)
    assert condition(np.ones((12, 1)), 500.0).shape == (12, 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20_000), st.integers(1, 12))
def test_windows_lie_inside_and_spread(samples: int, most: int) -> None:
    signal = np.arange(12 * samples, dtype=np.float32).reshape(12, samples)
    windows, starts = cut_windows(signal, most)
    assert len(windows) == len(starts) <= most
    assert (len(windows) > 0) == (samples >= WINDOW)
    for window, start in zip(windows, starts, strict=True):
        np.testing.assert_array_equal(window, signal[:, start : start + WINDOW])
    if len(starts) > 1:
        assert starts[0] == 0
        assert starts[-1] == samples - WINDOW
        assert min(np.diff(starts)) >= HOP - 1


def test_limb_leads_follow_from_two() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 100)).astype(np.float32)
    full = complete_limb_leads({"I": one, "II": two})
    assert set(LEADS[:6]) == set(full)
    np.testing.assert_allclose(full["I"] + full["III"], full["II"], atol=1e-6)
    np.testing.assert_allclose(full["aVR"] + full["aVL"] + full["aVF"], 0, atol=1e-6)
    again = complete_limb_leads({"III": full["III"], "II": two})
    np.testing.assert_allclose(again["I"], one, atol=1e-6)
    np.testing.assert_allclose(again["aVL"], full["aVL"], atol=1e-6)


def test_recorded_leads_stay_and_one_alone_gives_nothing() -> None:
    kept = complete_limb_leads({k: np.ones(3, np.float32) for k in ("I", "II", "aVR")})
    np.testing.assert_array_equal(kept["aVR"], 1.0)
    assert set(complete_limb_leads({"II": np.zeros(3)})) == {"II"}
