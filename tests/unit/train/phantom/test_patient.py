"""The simulated patient: every draw is in range, and volumes are what the parameters imply."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.phantom.patient import Patient, draw_patient, outline

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
        "wall_cm": (0.7, 1.25),
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
