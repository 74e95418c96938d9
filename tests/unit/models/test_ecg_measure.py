"""Measurements against simulated patients whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.ecg import condition
from models.ecg_beats import find_beats, median_beat
from models.ecg_measure import EcgMeasures, measure
from train.phantom.ecg.recording import render_ecg
from train.phantom.patient import draw_patient

Measured = list[tuple[dict[str, Any], EcgMeasures]]
_SEED = 21
_PATIENTS = 40


@pytest.fixture(scope="module")
def measured() -> Measured:
    found: Measured = []
    for patient_id in range(_PATIENTS):
        ecg = render_ecg(draw_patient(patient_id, _SEED), _SEED)
        measures = measure(condition(ecg.millivolts, 500.0))
        assert measures is not None
        found.append((ecg.truth, measures))
    return found


def _columns(measured: Measured, truth: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    t = np.array([row[truth] for row, _ in measured], float)
    return t, np.array([getattr(m, value) for _, m in measured], float)


def test_beats_are_found_where_they_are() -> None:
    for patient_id in range(6):
        ecg = render_ecg(draw_patient(patient_id, _SEED), _SEED)
        beats = find_beats(condition(ecg.millivolts, 500.0)) * 2.0
        inner = [t for t in ecg.r_peaks_ms if 200 < t < 9800]
        assert all(np.abs(beats - t).min() < 60 for t in inner)
        assert len(beats) - len(inner) in (0, 1, 2)


def test_voltage(measured: Measured) -> None:
    truth, found = _columns(measured, "voltage_mv", "voltage_mv")
    assert np.corrcoef(truth, found)[0, 1] ** 2 > 0.99
    assert np.abs(found - truth).mean() < 0.06


def test_heart_rate(measured: Measured) -> None:
    sinus = [(t, m) for t, m in measured if t["rhythm"] == "sinus"]
    truth, found = _columns(sinus, "heart_rate_bpm", "heart_rate_bpm")
    np.testing.assert_allclose(found, truth, rtol=0.04)


def test_atrial_fibrillation_is_irregular(measured: Measured) -> None:
    variation = {r: [m.rr_variation for t, m in measured if t["rhythm"] == r] for r in
                 ("sinus", "atrial_fibrillation")}  # fmt: skip
    assert max(variation["sinus"]) < min(variation["atrial_fibrillation"])


def test_qrs_width(measured: Measured) -> None:
    truth, found = _columns(measured, "qrs_ms", "qrs_ms")
    assert np.corrcoef(truth, found)[0, 1] ** 2 > 0.9
    assert np.abs(found - truth).mean() < 10
    blocked = np.array([t["lbbb"] for t, _ in measured])
    assert found[blocked].min() > found[~blocked].max()


def test_strain(measured: Measured) -> None:
    without_block = [(t, m) for t, m in measured if not t["lbbb"]]
    truth, found = _columns(without_block, "strain", "strain_mv")
    assert np.corrcoef(truth, found)[0, 1] ** 2 > 0.8


def test_nothing_to_measure() -> None:
    silent = np.zeros((12, 5000), np.float32)
    assert len(find_beats(silent)) == 0
    assert measure(silent) is None
    assert median_beat(silent, np.array([10])) is None
