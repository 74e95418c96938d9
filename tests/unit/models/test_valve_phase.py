"""Diastole by R peaks and by the look of the valve."""

from __future__ import annotations

import numpy as np
import pytest

from models.valve_phase import diastolic_by_r_peaks, diastolic_by_valve, ejecting_by_r_peaks

TIMES = np.arange(40, dtype=np.float64) * 50.0


def test_frames_are_late_between_r_peaks() -> None:
    chosen = diastolic_by_r_peaks(TIMES, (200.0, 1200.0))
    # phases .6 to .98 are 800 to 1180 ms of that cycle; the next one goes on from 1200 ms
    assert chosen.tolist() == [0, 1, 2, 3, *range(16, 24), *range(36, 40)]


def test_the_valve_is_open_early_between_r_peaks() -> None:
    chosen = ejecting_by_r_peaks(TIMES, (200.0, 1200.0))
    # phases .10 to .32 are 300 to 520 ms of that cycle; the one before began at -800 ms
    assert TIMES[chosen].tolist() == [*np.arange(300.0, 521.0, 50.0), *np.arange(1300.0, 1521, 50)]
    assert not set(chosen) & set(diastolic_by_r_peaks(TIMES, (200.0, 1200.0)))


def test_cycles_before_the_first_and_after_the_last_peak_go_on() -> None:
    chosen = diastolic_by_r_peaks(TIMES, (900.0,), heart_rate_bpm=60.0)
    assert set(TIMES[chosen]) == {*np.arange(500.0, 881.0, 50.0), *np.arange(1500.0, 1881.0, 50.0)}


@pytest.mark.parametrize("peaks", [(), (100.0,), (100.0, 180.0)])
def test_without_a_cycle_nothing_is_said(peaks: tuple[float, ...]) -> None:
    assert len(diastolic_by_r_peaks(TIMES, peaks)) == 0


def test_a_shut_valve_is_bright_in_its_middle() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(20, 40, (30, 100, 100)).astype(np.uint8)
    shut = np.ones(30, np.bool_)
    shut[8:16] = False
    frames[shut, 45:55, 45:55] = 180
    frames[shut] += 20  # a gain that changes over the clip must not decide
    chosen = diastolic_by_valve(frames, np.array([30.0, 30.0, 70.0, 70.0]))
    assert len(chosen) == 15 and shut[chosen].all()
    assert diastolic_by_valve(frames[:4], np.array([30.0, 30.0, 70.0, 70.0])).tolist() == [
        0,
        1,
        2,
        3,
    ]
