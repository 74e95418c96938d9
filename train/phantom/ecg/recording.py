"""Renders a patient's twelve-lead ECG: 10 s at 500 Hz, with what is measurable in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import RATE_HZ
from train.phantom.ecg.disturbance import disturb
from train.phantom.ecg.heart_vector import Beat, draw_beat
from train.phantom.ecg.lead_vectors import twelve
from train.phantom.ecg.rhythm import draw_beats, fibrillation
from train.phantom.patient import Patient

SAMPLES = 5000
#: What one stored unit is worth in files and cohorts.
MICROVOLTS = 1.25
#: What is measured of each lead's clean beat, in mV.
LEAD_MEASURES = ("r", "s", "st", "t")
_STREAM = 500
_ST_AFTER_QRS_MS = 60.0


@dataclass(frozen=True, slots=True)
class PhantomEcg:
    """A simulated ECG.

    Attributes
    ----------
    millivolts
        float32 ``(12, 5000)`` in the order of `models.ecg.LEADS`, 500 Hz.
    r_peaks_ms
        Middle of each QRS complex since the start, those inside the recording.
    lead_measures
        float32 ``(12, 4)``, LEAD_MEASURES of the undisturbed beat: highest and lowest of the QRS,
        60 ms after its end, and the T wave's peak of either sign.
    truth
        Plain values for an index: scores, label, voltage, QRS, strain.
    """

    millivolts: npt.NDArray[np.float32]
    r_peaks_ms: tuple[float, ...]
    lead_measures: npt.NDArray[np.float32]
    truth: dict[str, Any]


def render_ecg(patient: Patient, seed: int) -> PhantomEcg:
    """Render a patient's ECG.

    Parameters
    ----------
    patient
        Whose voltage, strain, QRS width, rhythm and block are shown.
    seed
        Of the cohort; with the patient it decides everything else.
    """
    rng = np.random.default_rng([seed, patient.patient_id, _STREAM])
    beat = draw_beat(patient, rng)
    times = np.arange(SAMPLES, dtype=np.float64) * (1000.0 / RATE_HZ)
    beats = draw_beats(patient, times[-1], rng)
    vector = _sum_of_beats(beat, beats, times, rng)
    if patient.conduction.rhythm == "atrial_fibrillation":
        vector += fibrillation(times, rng)
    leads = twelve(beat.leads @ vector + disturb(times, rng))
    inside = tuple(round(t, 2) for t in beats if 0 <= t <= times[-1])
    return PhantomEcg(
        leads.astype(np.float32), inside, _lead_measures(beat, patient), _truth(patient, inside)
    )


def _sum_of_beats(
    beat: Beat, beats: list[float], times: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Add up the beats; breathing changes their size by up to 4 %."""
    vector = np.zeros((3, len(times)))
    depth, breath_ms = rng.uniform(0.0, 0.04), rng.uniform(3000.0, 5500.0)
    spacing = np.diff([*beats, beats[-1] + (beats[-1] - beats[-2])])
    before = np.concatenate([spacing[:1], spacing[:-1]])  # QT follows the interval before
    for at, rr in zip(beats, before, strict=True):
        low, high = np.searchsorted(times, [at - 320.0, at + 700.0])
        if low == high:
            continue
        size = 1 + depth * np.sin(2 * np.pi * at / breath_ms)
        vector[:, low:high] += size * beat.vector(times[low:high] - at, float(min(rr, 1300.0)))
    return vector


def _lead_measures(beat: Beat, patient: Patient) -> npt.NDArray[np.float32]:
    """Measure the undisturbed beat, without P wave, at the patient's heart rate."""
    ms = np.arange(-320.0, 640.0, 2.0)
    rr = 60_000.0 / patient.heart_rate_bpm
    clean = Beat((), beat.ventricular, beat.recovery, beat.leads)
    leads = twelve(beat.leads @ clean.vector(ms, rr))
    half = patient.conduction.qrs_ms / 2
    qrs = leads[:, np.abs(ms) <= half]
    st = leads[:, int(np.searchsorted(ms, half + _ST_AFTER_QRS_MS))]
    late = leads[:, ms > half + 1.5 * _ST_AFTER_QRS_MS]
    t = np.take_along_axis(late, np.abs(late).argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.stack([qrs.max(axis=1), qrs.min(axis=1), st, t], axis=1).astype(np.float32)


def _truth(patient: Patient, r_peaks_ms: tuple[float, ...]) -> dict[str, Any]:
    return {
        "patient_id": patient.patient_id,
        "scores_ecg": patient.scores.ecg,
        "scores_xray": patient.scores.xray,
        "probability": patient.scores.probability,
        "probability_of_ecg": patient.scores.probability_of_ecg,
        "stenosis_label": patient.stenosis_label,
        "voltage_mv": patient.muscle.voltage_mv,
        "qrs_ms": float(patient.conduction.qrs_ms),
        "strain": patient.muscle.strain,
        "lbbb": patient.conduction.lbbb,
        "rhythm": patient.conduction.rhythm,
        "heart_rate_bpm": patient.heart_rate_bpm,
        "r_peaks_ms": list(r_peaks_ms),
    }
