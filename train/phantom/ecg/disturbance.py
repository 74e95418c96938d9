"""What disturbs a recording: muscle, mains, wandering baseline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHANNELS = 8
_MUSCLE_HZ = (15.0, 150.0)


def disturb(times_ms: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw the disturbance of the leads I, II, V1 to V6.

    Muscle noise of 4 to 20 uV (root mean square, 15 to 150 Hz), mains of up to 12 uV at 50 or
    60 Hz, and a baseline that wanders by up to some tenths of a millivolt below 0.5 Hz.

    Returns
    -------
    mV, ``(8, T)``.
    """
    mains_hz = rng.choice([50.0, 60.0])
    mains = np.sin(2e-3 * np.pi * mains_hz * times_ms + rng.uniform(0, 2 * np.pi))
    mains_mv = rng.uniform(0.0, 0.012) * rng.uniform(-1, 1, (_CHANNELS, 1))
    level = rng.uniform(0.004, 0.02) * rng.uniform(0.7, 1.3, (_CHANNELS, 1))
    return np.asarray(level * _muscle(times_ms, rng) + mains_mv * mains + _wander(times_ms, rng))


def _muscle(times_ms: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    count = len(times_ms)
    spectrum = np.fft.rfft(rng.normal(size=(_CHANNELS, count)), axis=1)
    hertz = np.fft.rfftfreq(count, (times_ms[1] - times_ms[0]) / 1000.0)
    spectrum[:, (hertz < _MUSCLE_HZ[0]) | (hertz > _MUSCLE_HZ[1])] = 0
    noise = np.fft.irfft(spectrum, count, axis=1)
    return np.asarray(noise / noise.std(axis=1, keepdims=True))


def _wander(times_ms: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    total = rng.normal(0, 0.05, (_CHANNELS, 1)) * np.ones_like(times_ms)
    for _ in range(3):
        hertz = rng.uniform(0.05, 0.45)
        size = rng.uniform(0.0, 0.07) * rng.normal(size=(_CHANNELS, 1))
        phase = rng.uniform(0, 2 * np.pi, (_CHANNELS, 1))
        total = total + size * np.sin(2e-3 * np.pi * hertz * times_ms + phase)
    return total
