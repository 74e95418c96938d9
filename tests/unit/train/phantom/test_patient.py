"""The simulated patient: every draw is in range, and volumes are what the parameters imply."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train import metrics
from train.phantom.patient import Patient, draw_patient, outline
from train.phantom.score import ECG_DIRECTION, XRAY_DIRECTION

people = st.builds(draw_patient, st.integers(0, 1_000_000), st.integers(0, 1_000))


@settings(max_examples=60, deadline=None)
@given(people)
def test_parameters_are_in_their_ranges(patient: Patient) -> None:
    ranges = {
        "ejection_fraction": (0.12, 0.78),
        "heart_rate_bpm": (50, 105),
        "length_cm": (7, 10.2),
        "elliptic_share": (0.5, 0.75),
        "base_taper": (0.05, 0.35),
        "wall_cm": (0.7, 1.75),
        "longitudinal_share": (0.2, 0.38),
        "mitral_tilt_deg": (-10, 25),
        "bend_cm": (-0.35, 0.35),
    }
    for name, (low, high) in ranges.items():
        assert low <= getattr(patient, name) <= high, name


@settings(max_examples=60, deadline=None)
@given(people)
def test_volumes_are_possible_and_give_the_ejection_fraction(patient: Patient) -> None:
    truth = patient.truth()
    assert 35 < truth["edv_ml"] < 350
    assert 0 < truth["esv_ml"] < truth["edv_ml"]
    assert 1 - truth["esv_ml"] / truth["edv_ml"] == pytest.approx(truth["ejection_fraction"])
    assert truth["ef_percent"] == pytest.approx(100 * truth["ejection_fraction"])
    assert 0.48 <= truth["width_cm"] / truth["length_cm"] <= 0.68
    assert 0.88 <= truth["width_a2c_cm"] / truth["width_cm"] <= 1.1


@settings(max_examples=30, deadline=None)
@given(people)
def test_the_volume_falls_linearly_with_contraction(patient: Patient) -> None:
    contraction = np.linspace(0, 1, 11)
    transverse, longitudinal = patient.scales(contraction)
    volume = transverse**2 * longitudinal
    np.testing.assert_allclose(volume, 1 - patient.ejection_fraction * contraction)
    assert (np.diff(transverse) < 0).all()
    assert (np.diff(longitudinal) < 0).all()


def test_a_patient_is_decided_by_number_and_seed() -> None:
    assert draw_patient(3, 1) == draw_patient(3, 1)
    assert draw_patient(3, 1) != draw_patient(4, 1)
    drawn = {draw_patient(p, s).ejection_fraction for p in range(4) for s in range(4)}
    assert len(drawn) == 16


def test_the_outline_is_closed_at_the_apex_and_tapers_to_the_base() -> None:
    half = outline(np.linspace(0, 1, 101), 0.6, 0.3)
    assert half[0] == 0
    assert half.max() == pytest.approx(1)
    assert np.argmax(half) == 60
    assert half[-1] == pytest.approx(0.7)


@settings(max_examples=100, deadline=None)
@given(people)
def test_the_record_of_a_patient_is_consistent(patient: Patient) -> None:
    valve = patient.valve
    limits = {"none": (2.0, 4.1), "mild": (1.5, 2.0), "moderate": (1.0, 1.5), "severe": (0.4, 1.0)}
    low, high = limits[valve.grade]
    assert low <= valve.area_cm2 <= high
    assert patient.stenosis_label == (valve.area_cm2 <= 1.5)
    assert valve.calcified == (valve.calcium > 0)
    assert patient.conduction.has_flash == (patient.conduction.flash_cm > 0)
    offset = patient.conduction.septal_offset_cm(np.array([patient.conduction.flash_peak_ms]))
    assert offset[0] == pytest.approx(patient.conduction.flash_cm, rel=0.05)


@settings(max_examples=100, deadline=None)
@given(people)
def test_what_images_show_gives_the_scores_back(patient: Patient) -> None:
    muscle, chest = patient.muscle, patient.chest
    blocked = 50.0 if patient.conduction.lbbb else 0.0
    shown = np.array(
        [
            np.log(muscle.voltage_mv / 2.6) / 0.28,
            (patient.conduction.qrs_ms - 94.0 - blocked) / 8.0,
            6.0 * muscle.strain - 3.0,
        ]
    )
    if 0.0 < muscle.strain < 1.0:
        assert ECG_DIRECTION @ shown == pytest.approx(patient.scores.ecg)
    shown = np.array([(chest.cardiothoracic_ratio - 0.49) / 0.035, 6.0 * chest.arch_calcium - 3.0])
    if 0.0 < chest.arch_calcium < 1.0:
        assert XRAY_DIRECTION @ shown == pytest.approx(patient.scores.xray)


def test_the_best_possible_is_what_was_planned() -> None:
    people = [draw_patient(number, 3) for number in range(6000)]
    label = np.array([p.stenosis_label for p in people])
    for name, planned in (("ecg", 0.775), ("xray", 0.755), ("probability", 0.820)):
        score = np.array([getattr(p.scores, name) for p in people])
        assert metrics.auroc(label, score) == pytest.approx(planned, abs=0.015)
    probability = np.array([p.scores.probability for p in people])
    assert probability.mean() == pytest.approx(label.mean(), abs=0.02)
