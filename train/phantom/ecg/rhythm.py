"""When the simulated heart beats, and how its atria fibrillate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from train.phantom.patient import Patient

_SHORTEST_RR_MS = 330.0


def draw_beats(patient: Patient, duration_ms: float, rng: np.random.Generator) -> list[float]:
    """Draw the times of the beats, from one before the recording to one after it.

    Sinus rhythm varies by 2 to 4 % with breathing and at random; in atrial fibrillation intervals
    are independent, with a coefficient of variation of 0.2.

    Returns
    -------
    Middle of each QRS complex, ms since the recording's start.
    """
    period = 60_000.0 / patient.heart_rate_bpm
    fibrillates = patient.conduction.rhythm == "atrial_fibrillation"
    depth, breath_ms = rng.uniform(0.015, 0.035), rng.uniform(3000.0, 5500.0)
    at = rng.uniform(-period, 0.0) - period
    times = []
    while at < duration_ms + period:
        times.append(float(at))
        if fibrillates:
            step = period * rng.gamma(25.0, 1 / 25.0)
        else:
            step = period * (1 + depth * np.sin(2 * np.pi * at / breath_ms) + rng.normal(0, 0.006))
        at += max(step, _SHORTEST_RR_MS)
    return times


def fibrillation(
    times_ms: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw f waves, 4 to 9 a second, strongest towards V1 and II; the heart's vector ``(3, T)``."""
    wave = np.zeros_like(times_ms)
    for _ in range(3):
        hertz = rng.uniform(4.0, 9.0)
        drift = rng.uniform(0.3, 1.2) * np.sin(2e-3 * np.pi * rng.uniform(0.1, 0.4) * times_ms)
        phase = 2e-3 * np.pi * hertz * times_ms + drift + rng.uniform(0, 2 * np.pi)
        wave += rng.uniform(0.3, 1.0) * np.sin(phase)
    size = rng.uniform(0.015, 0.04)
    return np.asarray(size * np.array([0.2, 0.7, -0.9])[:, None] * wave)
