"""Simulated ECGs: lawful leads, exact truth, and nothing that hides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.ecg import LEADS
from train.phantom.ecg.heart_vector import draw_beat
from train.phantom.ecg.lead_vectors import V1, V5
from train.phantom.ecg.recording import MICROVOLTS, SAMPLES, PhantomEcg, render_ecg
from train.phantom.ecg.rhythm import draw_beats
from train.phantom.parts.base import CohortPlan
from train.phantom.parts.ecg import EcgPart
from train.phantom.patient import Patient, draw_patient

_SEED = 12
_I, _V1, _V5, _V6 = (LEADS.index(name) for name in ("I", "V1", "V5", "V6"))


def _patient(patient_id: int = 3, **conduction: Any) -> Patient:
    patient = draw_patient(patient_id, _SEED)
    return replace(patient, conduction=replace(patient.conduction, **conduction))


def _beat(patient: Patient) -> np.ndarray:
    """Leads I, II, V1 to V6 of one beat without P wave, from -320 to 640 ms by 1 ms."""
    beat = draw_beat(patient, np.random.default_rng(5))
    return beat.leads @ replace(beat, atrial=()).vector(np.arange(-320.0, 640.0), 900.0)


def _same(a: PhantomEcg, b: PhantomEcg) -> bool:
    return bool(np.array_equal(a.millivolts, b.millivolts)) and a.r_peaks_ms == b.r_peaks_ms


def test_the_same_patient_has_the_same_ecg() -> None:
    ecg = render_ecg(draw_patient(1, _SEED), _SEED)
    assert ecg.millivolts.shape == (12, SAMPLES)
    assert ecg.millivolts.dtype == np.float32
    assert _same(ecg, render_ecg(draw_patient(1, _SEED), _SEED))
    assert not _same(ecg, render_ecg(draw_patient(1, _SEED), _SEED + 1))


def test_limb_leads_obey_einthoven_and_goldberger() -> None:
    x = render_ecg(draw_patient(2, _SEED), _SEED).millivolts
    np.testing.assert_allclose(x[0] + x[2], x[1], atol=1e-5)
    np.testing.assert_allclose(x[3] + x[4] + x[5], 0, atol=1e-5)


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("patient_id", range(4))
def test_voltage_is_exact(patient_id: int, block: bool) -> None:
    patient = _patient(patient_id, lbbb=block, qrs_ms=150.0 if block else 95.0)
    qrs = _beat(patient)[:, 320 - 80 : 320 + 80]
    assert qrs[V5].max() - qrs[V1].min() == pytest.approx(patient.muscle.voltage_mv, rel=0.03)


def test_strain_lowers_lateral_st_and_turns_t() -> None:
    patient = _patient(lbbb=False, qrs_ms=95.0)
    seen = []
    for strain in (0.0, 0.5, 1.0):
        beat = _beat(replace(patient, muscle=replace(patient.muscle, strain=strain)))[V5]
        seen.append((beat[320 + 48 + 60], beat[320 + 220 : 320 + 380].mean()))
    assert seen[0][0] > seen[1][0] > seen[2][0]
    assert seen[0][1] > 0.1 > seen[1][1] > -0.1 > seen[2][1]


def test_a_block_is_wide_and_goes_left_only() -> None:
    narrow, wide = (
        _beat(_patient(lbbb=block, qrs_ms=width)) for block, width in ((False, 90.0), (True, 150.0))
    )
    assert (np.abs(wide[V5]) > 0.3).sum() > 1.5 * (np.abs(narrow[V5]) > 0.3).sum()
    before = slice(320 - 75, 320 - 20)
    assert narrow[V5, before].min() < -0.02  # septal q
    assert wide[V5, before].min() > -0.02
    assert wide[V5, 320 + 200 : 320 + 400].mean() < 0 < wide[V1, 320 + 200 : 320 + 400].mean()


def test_width_scales_the_complex() -> None:
    widths = []
    for qrs_ms in (80.0, 120.0):
        lead = np.abs(_beat(_patient(lbbb=False, qrs_ms=qrs_ms))[V5, 320 - 90 : 320 + 60])
        widths.append((lead > 0.5 * lead.max()).sum())
    assert widths[1] / widths[0] == pytest.approx(1.5, rel=0.1)


def test_rhythm() -> None:
    rng = np.random.default_rng(0)
    sinus, fibrillating = _patient(rhythm="sinus"), _patient(rhythm="atrial_fibrillation")
    steady = np.diff(draw_beats(sinus, 60_000.0, rng))
    loose = np.diff(draw_beats(fibrillating, 60_000.0, rng))
    period = 60_000.0 / sinus.heart_rate_bpm
    assert steady.std() / steady.mean() < 0.05
    assert loose.std() / loose.mean() > 0.12
    assert steady.mean() == pytest.approx(period, rel=0.02)
    assert draw_beat(fibrillating, rng).atrial == ()
    assert len(draw_beat(sinus, rng).atrial) == 2


def test_what_single_leads_measure() -> None:
    ecg = render_ecg(draw_patient(4, _SEED), _SEED)
    measures = ecg.lead_measures
    assert measures.shape == (12, 4)
    voltage = measures[_V5, 0] - measures[_V1, 1]
    assert voltage == pytest.approx(ecg.truth["voltage_mv"], rel=0.03)
    assert measures[_V6, 0] > 0 > measures[_V1, 1]


def test_the_part_of_a_cohort() -> None:
    part, plan = EcgPart(), CohortPlan(3, seed=_SEED)
    rendered = part.render(2, plan)
    for name, spec in part.arrays(plan).items():
        array = rendered.arrays[name]
        assert array.shape == (spec.rows_per_patient, *spec.shape)
        assert array.dtype == spec.dtype
    ecg = render_ecg(draw_patient(2, _SEED), _SEED)
    stored = rendered.arrays["samples"][0] * (MICROVOLTS / 1000)
    np.testing.assert_allclose(stored, ecg.millivolts, atol=MICROVOLTS / 2000 + 1e-6)
    (row,) = rendered.rows
    assert row["patient_id"] == 2
    assert row["scores_ecg"] == draw_patient(2, _SEED).scores.ecg
    assert len(row["r_peaks_ms"]) == len(ecg.r_peaks_ms)
