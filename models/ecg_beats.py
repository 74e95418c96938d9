"""Finds the heart beats of an ECG and its median beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.ecg import LEADS, RATE_HZ, Signal

#: Leads that are independent of each other; the other limb leads follow from I and II.
INDEPENDENT = tuple(i for i, name in enumerate(LEADS) if name not in ("III", "aVR", "aVL", "aVF"))
_REFRACTORY_S = 0.25
_SMOOTH_S = 0.08
_T_WAVE_S = 0.36
_BEFORE_S, _AFTER_S = 0.3, 0.5
BEFORE = round(_BEFORE_S * RATE_HZ)
AFTER = round(_AFTER_S * RATE_HZ)


def spatial_velocity(signal: Signal, over_s: float = 0.02) -> npt.NDArray[np.float64]:
    """Root of the summed squared slopes of the independent leads, mV/s, ``(samples,)``.

    Parameters
    ----------
    signal
        ``(12, samples)``, mV at 500 Hz.
    over_s
        The slope is that between the means of this time before and after: muscle noise averages.
    """
    leads = np.asarray(signal, np.float64)[list(INDEPENDENT)]
    half = max(1, round(over_s * RATE_HZ / 2))
    summed = np.cumsum(np.pad(leads, ((0, 0), (half, half)), mode="edge"), axis=1)
    summed = np.concatenate([np.zeros((len(leads), 1)), summed], axis=1)
    count = leads.shape[1]
    left = summed[:, half : half + count] - summed[:, :count]
    right = summed[:, 2 * half : 2 * half + count] - summed[:, half : half + count]
    slope = (right - left) / half**2 * RATE_HZ
    return np.asarray(np.sqrt((slope**2).sum(axis=0)))


def smooth(values: npt.NDArray[np.float64], seconds: float) -> npt.NDArray[np.float64]:
    """Average over a time, ``(samples,)``; beyond the ends the values are 0."""
    width = max(1, round(seconds * RATE_HZ))
    return np.convolve(values, np.ones(width) / width, mode="same")


def find_beats(signal: Signal) -> npt.NDArray[np.int64]:
    """Find the QRS complexes: peaks of the smoothed square of the spatial velocity.

    Parameters
    ----------
    signal
        ``(12, samples)``, as `models.ecg.condition` returns it.

    Returns
    -------
    Samples about which complexes are steepest, ascending. A peak counts from a fifth of a usual
    one, which is the median of the highest in each second. Two within 250 ms are one; within
    360 ms the smaller must have half the other's, or it is a T wave (Pan and Tompkins, "A
    real-time QRS detection algorithm", IEEE Trans. Biomed. Eng. 1985).
    """
    activity = smooth(spatial_velocity(signal) ** 2, _SMOOTH_S)
    second = int(RATE_HZ)
    tops = [activity[at : at + second].max() for at in range(0, len(activity) - second + 1, second)]
    if not tops or np.median(tops) <= 0:
        return np.zeros(0, np.int64)
    inner = activity[1:-1]
    peaks = (inner >= activity[:-2]) & (inner > activity[2:]) & (inner > 0.2 * np.median(tops))
    candidates = np.flatnonzero(peaks) + 1
    kept: list[int] = []
    for at in candidates[np.argsort(-activity[candidates], kind="stable")].tolist():
        near = [other for other in kept if abs(at - other) < round(_T_WAVE_S * RATE_HZ)]
        if all(
            abs(at - other) >= round(_REFRACTORY_S * RATE_HZ)
            and activity[at] >= 0.5 * activity[other]
            for other in near
        ):
            kept.append(at)
    return np.array(sorted(kept), np.int64)


def median_beat(signal: Signal, beats: npt.NDArray[np.int64]) -> Signal | None:
    """Align the beats and take their median.

    Parameters
    ----------
    signal, beats
        As above.

    Returns
    -------
    ``(12, 400)``: 300 ms before to 500 ms after; None without a beat that is whole. Beats that are
    unlike most others (extrasystoles) hardly change a median.
    """
    activity = spatial_velocity(signal)
    whole = [int(b) for b in beats if BEFORE + 20 <= b < signal.shape[1] - AFTER - 20]
    if not whole:
        return None
    template = np.median([activity[b - 50 : b + 50] for b in whole], axis=0)
    centred = template - template.mean()
    cut = []
    for beat in whole:
        shifts = range(-15, 16)
        fits = [centred @ activity[beat + s - 50 : beat + s + 50] for s in shifts]
        at = beat + shifts[int(np.argmax(fits))]
        cut.append(signal[:, at - BEFORE : at + AFTER])
    return np.median(cut, axis=0).astype(np.float32)
