"""The heart's timing: what contracts when, and where the R peaks are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.phantom.heart_cycle import Cycle, draw_cycle, systole_share


def _cycle(rate_bpm: float, seed: int, frames: int = 64, frame_time_ms: float = 20.0) -> Cycle:
    return draw_cycle(frames, frame_time_ms, rate_bpm, np.random.default_rng(seed))


rates, seeds = st.floats(50, 105), st.integers(0, 10_000)


@settings(max_examples=40, deadline=None)
@given(rates, seeds)
def test_r_peaks_are_a_period_apart_and_inside_the_clip(rate_bpm: float, seed: int) -> None:
    cycle = _cycle(rate_bpm, seed, frames=200)
    peaks = np.array(cycle.r_peaks_ms)
    assert len(peaks) >= 3
    np.testing.assert_allclose(np.diff(peaks), 60_000 / rate_bpm)
    assert peaks[0] >= 0
    assert peaks[-1] < 200 * 20.0
    assert peaks[0] < 60_000 / rate_bpm


@settings(max_examples=40, deadline=None)
@given(rates, seeds)
def test_the_heart_is_relaxed_at_an_r_peak(rate_bpm: float, seed: int) -> None:
    cycle = _cycle(rate_bpm, seed, frames=4000, frame_time_ms=1.0)
    assert cycle.contraction.min() == 0
    assert cycle.contraction.max() == pytest.approx(1, abs=1e-3)
    for peak in cycle.r_peaks_ms:
        frame = min(round(peak), 3999)
        assert cycle.contraction[frame] == 0
        assert min(cycle.phase[frame], 1 - cycle.phase[frame]) < 0.003


@settings(max_examples=40, deadline=None)
@given(rates, seeds)
def test_contraction_rises_in_systole_and_falls_after_it(rate_bpm: float, seed: int) -> None:
    cycle = _cycle(rate_bpm, seed, frames=3000, frame_time_ms=0.5)
    order = np.argsort(cycle.phase, kind="stable")
    phase, contraction = cycle.phase[order], cycle.contraction[order]
    systole = phase <= systole_share(rate_bpm)
    assert (np.diff(contraction[systole]) >= -1e-9).all()
    assert (np.diff(contraction[~systole]) <= 1e-9).all()


def test_systole_takes_a_larger_share_of_a_fast_cycle() -> None:
    assert systole_share(70) == pytest.approx(0.36)
    assert systole_share(50) < systole_share(70) < systole_share(105) < 0.45


def test_the_two_valves_of_the_left_ventricle_are_never_open_together() -> None:
    cycle = _cycle(70, 0, frames=500, frame_time_ms=5.0)
    assert ((cycle.mitral_opening == 0) | (cycle.aortic_opening == 0)).all()
    assert cycle.mitral_opening.max() > 0.99
    assert cycle.aortic_opening.max() > 0.99
    for opening in (cycle.mitral_opening, cycle.aortic_opening):
        assert opening.min() >= 0
        assert opening.max() <= 1
