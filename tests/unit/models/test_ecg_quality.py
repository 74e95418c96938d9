"""Gates: a good simulated ECG passes, and each way to break it is named."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ecg import LEADS
from models.ecg_quality import ecg_problem
from models.inputs import Recording, Waveform
from train.phantom.ecg.recording import render_ecg
from train.phantom.patient import draw_patient

_V2 = LEADS.index("V2")


@cache
def _good() -> np.ndarray:
    return render_ecg(draw_patient(5, 5), 5).millivolts


def _problem(millivolts: np.ndarray, hz: float = 500.0) -> str | None:
    group = Waveform(millivolts.astype(np.float32), LEADS, hz)
    return ecg_problem(Recording((group,)))


@pytest.mark.parametrize("patient_id", range(8))
def test_simulated_patients_pass(patient_id: int) -> None:
    assert _problem(render_ecg(draw_patient(patient_id, 9), 9).millivolts) is None


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([125.0, 250.0, 400.0, 1000.0]), st.floats(0.6, 1.6))
def test_other_rates_and_sizes_pass(hz: float, size: float) -> None:
    at = np.arange(round(10 * hz)) * 500.0 / hz
    resampled = np.array([np.interp(at, np.arange(5000), lead) for lead in _good()])
    assert _problem(size * resampled, hz) is None


def test_flat_lead() -> None:
    broken = _good().copy()
    broken[_V2] = 0.01 * np.sin(np.arange(5000) / 40)
    assert _problem(broken) == "lead is flat: V2"


def test_saturated_lead() -> None:
    broken = _good().copy()
    broken[_V2] = np.clip(3 * broken[_V2], -1.2, 9)
    assert _problem(broken) == "lead is saturated: V2"


def test_a_single_short_stay_passes() -> None:
    touched = _good().copy()
    touched[_V2, 2000:2040] = touched[_V2].max() + 2.0
    assert _problem(touched) is None


def test_out_of_range() -> None:
    broken = _good().copy()
    broken[_V2, 700] = 40.0
    assert _problem(broken) == "lead is saturated: V2"


def test_swapped_arms() -> None:
    good = _good()
    swapped = good.copy()
    swapped[0] = -good[0]
    swapped[[1, 2]] = good[[2, 1]]
    swapped[[3, 4]] = good[[4, 3]]
    assert _problem(swapped) == "the arm electrodes seem swapped: lead I is upside down"


def test_limb_leads_in_the_wrong_order() -> None:
    broken = _good()[[1, 0, 2, *range(3, 12)]]
    assert _problem(broken) == "I + III is not II: limb leads are swapped or damaged"


def test_noise() -> None:
    rng = np.random.default_rng(1)
    loud = _good() + 0.5 * rng.normal(size=(12, 5000))
    loud[2:6] = np.stack(
        [loud[1] - loud[0], -(loud[0] + loud[1]) / 2, loud[0] - loud[1] / 2, loud[1] - loud[0] / 2]
    )
    assert "buried in noise" in str(_problem(loud))


def test_no_beats() -> None:
    slow = np.sin(2 * np.pi * 1.5 * np.arange(5000) / 500)
    walk = np.cumsum(np.random.default_rng(2).normal(size=(8, 5000)), axis=1) * 0.05
    eight = 0.2 * slow + walk
    one, two = eight[:2]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    assert _problem(np.concatenate([np.stack(limb), eight[2:]])) is not None


def test_what_can_not_be_read_at_all() -> None:
    group = Waveform(_good(), LEADS, 500.0)
    assert ecg_problem(Recording(())) == "it has no waveform"
    slow = replace(group, sampling_hz=50.0)
    assert ecg_problem(Recording((slow,))) == "50 samples a second are fewer than 100"
    few = replace(group, millivolts=_good()[:9], leads=LEADS[:9])
    assert ecg_problem(Recording((few,))) == "leads V4, V5, V6 are missing"
    short = replace(group, millivolts=_good()[:, :900])
    assert ecg_problem(Recording((short,))) == "it lasts 1.8 s, and 2 are needed"
    broken = _good().copy()
    broken[3, 100] = np.nan
    assert _problem(broken) == "it has values that are no voltages"
