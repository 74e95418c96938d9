"""The heart's electric vector through a beat, as a sum of Gaussian waves.

After McSharry et al. ("A dynamical model for generating synthetic electrocardiogram signals",
IEEE Trans. Biomed. Eng. 2003) and its extension to the heart's vector by Sameni et al.
("Multichannel ECG and noise modeling", EURASIP J. Adv. Signal Process. 2007). The waves and their
ranges are choices of ours, so that the truth can be measured: SV1 + RV5, QRS width and strain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from train.phantom.ecg.lead_vectors import DOWER, V1, V5
from train.phantom.patient import Patient

Vector = npt.NDArray[np.float64]

#: T wave in V5, mV: upright without strain, and what full strain adds; the second pair in a block.
_UPRIGHT_T = {False: 0.50, True: -0.22}
_STRAIN_T = {False: -0.90, True: -0.60}
_STRAIN_ST = {False: -0.24, True: -0.16}
_BLOCK_ST = -0.08


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave of the vector: ``direction`` x Gaussian.

    Attributes
    ----------
    direction
        mV along X (left), Y (down), Z (back) at the peak, ``(3,)``.
    centre_ms
        Peak after the middle of the QRS complex.
    rise_ms, fall_ms
        Standard deviation before and after the peak.
    """

    direction: Vector
    centre_ms: float
    rise_ms: float
    fall_ms: float

    def at(self, ms: Vector) -> Vector:
        """Return the vector at times ``(T,)`` as ``(3, T)``."""
        x = ms - self.centre_ms
        width = np.where(x < 0, self.rise_ms, self.fall_ms)
        return np.asarray(self.direction[:, None] * np.exp(-0.5 * (x / width) ** 2))


@dataclass(frozen=True, slots=True)
class Beat:
    """The waves of one patient's beats.

    Attributes
    ----------
    atrial
        P wave; empty in atrial fibrillation.
    ventricular
        QRS complex.
    recovery
        ST segment and T wave at a heart rate of 60; their time goes with the root of R-R.
    leads
        mV of I, II, V1 to V6 for 1 mV of X, Y, Z, ``(8, 3)``: this patient's electrodes.
    """

    atrial: tuple[Wave, ...]
    ventricular: tuple[Wave, ...]
    recovery: tuple[Wave, ...]
    leads: Vector

    def vector(self, ms: Vector, rr_ms: float) -> Vector:
        """Return the vector ``(3, T)`` around a beat whose R-R interval is `rr_ms`."""
        stretch = np.sqrt(rr_ms / 1000.0)
        late = [
            replace(
                w,
                centre_ms=w.centre_ms * stretch,
                rise_ms=w.rise_ms * stretch,
                fall_ms=w.fall_ms * stretch,
            )
            for w in self.recovery
        ]
        waves = [*self.atrial, *self.ventricular, *late]
        return np.sum([wave.at(ms) for wave in waves], axis=0)


def draw_beat(patient: Patient, rng: np.random.Generator) -> Beat:
    """Draw a patient's beat.

    The voltage SV1 + RV5 and the T wave of V5 are the patient's exactly, whatever axis, electrode
    positions and wave shapes are drawn; those are what a network must learn to ignore.
    """
    block = patient.conduction.lbbb
    electrodes = DOWER * (1 + 0.06 * rng.normal(size=(len(DOWER), 1)))
    turned = electrodes @ _rotation(rng.normal(0, 12), rng.normal(0, 10))
    waves = _blocked_qrs(patient, rng) if block else _normal_qrs(patient, rng)
    ms = np.arange(-150.0, 150.0)
    shape = np.sum([wave.at(ms) for wave in waves], axis=0)
    v1, v5 = turned[V1] @ shape, turned[V5] @ shape
    scale = patient.muscle.voltage_mv / (v5.max() - v1.min())
    qrs = tuple(replace(w, direction=w.direction * scale) for w in waves)
    atrial = () if patient.conduction.rhythm == "atrial_fibrillation" else _p_wave(rng)
    return Beat(atrial, qrs, _recovery(patient, turned, rng), turned)


def _normal_qrs(patient: Patient, rng: np.random.Generator) -> list[Wave]:
    """Septum to the right and front, the free wall, the base to the back."""
    q = patient.conduction.qrs_ms
    septal = np.array([-0.16, -0.10, -0.22]) * rng.uniform(0.6, 1.4)
    wall = np.array([1.0, 0.62, 0.62]) + rng.normal(0, 0.06, 3)
    base = np.array([-0.22, -0.18, 0.42]) * rng.uniform(0.7, 1.3)
    return [
        Wave(septal, -0.27 * q, 0.09 * q, 0.09 * q),
        Wave(wall, 0.0, 0.125 * q, 0.125 * q),
        Wave(base, 0.24 * q, 0.10 * q, 0.10 * q),
    ]


def _blocked_qrs(patient: Patient, rng: np.random.Generator) -> list[Wave]:
    """Left bundle branch block: from right to left throughout, with a notch in the middle."""
    q = patient.conduction.qrs_ms
    first = np.array([0.95, 0.42, 0.70]) + rng.normal(0, 0.05, 3)
    second = np.array([1.0, 0.05, 1.0]) + rng.normal(0, 0.05, 3)
    return [
        Wave(first, -0.17 * q, 0.125 * q, 0.125 * q),
        Wave(second * rng.uniform(0.9, 1.1), 0.17 * q, 0.125 * q, 0.125 * q),
    ]


def _p_wave(rng: np.random.Generator) -> tuple[Wave, ...]:
    peak = -rng.uniform(115.0, 175.0)
    size = rng.uniform(0.7, 1.3)
    right = np.array([0.03, 0.09, -0.04]) * size
    left = np.array([0.07, 0.06, 0.04]) * size
    return (Wave(right, peak - 12, 16, 18), Wave(left, peak + 16, 18, 18))


def _recovery(patient: Patient, leads: Vector, rng: np.random.Generator) -> tuple[Wave, ...]:
    """ST segment and T wave: upright, against the QRS in a block, and inverted by strain."""
    block, strain = patient.conduction.lbbb, patient.muscle.strain
    upright = np.array([0.70, 0.40, -0.45]) + rng.normal(0, 0.05, 3)
    if block:
        upright = np.array([0.95, 0.20, 0.70]) + rng.normal(0, 0.05, 3)
    lateral = np.array([0.85, 0.20, 0.40]) + rng.normal(0, 0.04, 3)
    in_v5, lateral_in_v5 = leads[V5] @ upright, leads[V5] @ lateral
    variation = 1 + 0.06 * rng.normal()
    t_upright = upright / in_v5 * _UPRIGHT_T[block] * variation
    t_strain = lateral / lateral_in_v5 * _STRAIN_T[block] * strain
    st = lateral / lateral_in_v5 * _STRAIN_ST[block] * strain
    if block:
        st = st + upright / in_v5 * _BLOCK_ST
    q = patient.conduction.qrs_ms
    peak = rng.uniform(285.0, 315.0) + 0.3 * (q - 90.0)
    return (
        Wave(st, 0.5 * q + 70.0, 34.0, 70.0),
        Wave(t_upright + t_strain, peak, 62.0, 40.0),
    )


def _rotation(frontal_deg: float, horizontal_deg: float) -> Vector:
    """Turn the heart in the frontal plane (X, Y) and in the horizontal plane (X, Z)."""
    f, h = np.radians([frontal_deg, horizontal_deg])
    frontal = np.array([[np.cos(f), -np.sin(f), 0], [np.sin(f), np.cos(f), 0], [0, 0, 1]])
    horizontal = np.array([[np.cos(h), 0, -np.sin(h)], [0, 1, 0], [np.sin(h), 0, np.cos(h)]])
    return np.asarray(frontal @ horizontal)
