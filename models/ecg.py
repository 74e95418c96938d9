"""ECG signals as the network takes them: twelve leads in mV at 500 Hz, baseline at 0, in windows.

Numpy only. One filter in the frequency domain does everything that is linear and has no phase, so
that no wave is shifted against another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LATERAL = (LEADS.index("I"), LEADS.index("aVL"), LEADS.index("V5"), LEADS.index("V6"))
RATE_HZ = 500.0
WINDOW = 1000  # samples: 2 s
HOP = 500

#: Pass bands of the filter, Hz; between the two numbers it rises or falls as a raised cosine.
#: Without phase distortion the lower one may be at 0.67 Hz (Kligfield et al., "Recommendations for
#: the standardization and interpretation of the electrocardiogram", Circulation 2007); the upper
#: one is the paper's 150 Hz.
HIGH_PASS_HZ = (0.3, 0.67)
LOW_PASS_HZ = (140.0, 160.0)
_MARGIN_S = 2


def condition(millivolts: npt.NDArray[np.floating[Any]], sampling_hz: float) -> Signal:
    """Bring signals to 500 Hz, remove what is above 150 Hz, and put their baseline to 0.

    The signals are continued beyond both ends by their mirror image, filtered once, and cut again.
    Then each lead's median is subtracted, which lies on the line between the waves.

    Parameters
    ----------
    millivolts
        ``(leads, samples)``.
    sampling_hz
        Any rate; of a rate below 320 Hz the band ends where the recording's does.

    Returns
    -------
    float32 ``(leads, samples at 500 Hz)``.
    """
    signal = np.asarray(millivolts, np.float64)
    samples = signal.shape[1]
    if samples < 2:
        return np.zeros((len(signal), samples), np.float32)
    out = max(1, round(samples * RATE_HZ / sampling_hz))
    extended, before = _extended(signal, sampling_hz)
    length = extended.shape[1]
    # An integer number of seconds at an integer rate maps exactly; others to 1e-4 of their length.
    target = round(length * RATE_HZ / sampling_hz)
    spectrum = np.fft.rfft(extended, axis=1)
    frequencies = np.arange(spectrum.shape[1]) * sampling_hz / length
    spectrum *= _gain(frequencies)
    resampled = np.fft.irfft(_fitted(spectrum, target), target, axis=1) * (target / length)
    start = round(before * RATE_HZ / sampling_hz)
    kept = resampled[:, start : start + out]
    return (kept - np.median(kept, axis=1, keepdims=True)).astype(np.float32)


def cut_windows(signal: npt.NDArray[np.floating[Any]], most: int = 9) -> tuple[Signal, list[int]]:
    """Cut windows of 2 s, a second apart where the recording is long enough.

    Parameters
    ----------
    signal
        ``(12, samples)``, as :func:`condition` returns it.
    most
        Windows at most; of a longer recording they are spread evenly.

    Returns
    -------
    float32 ``(windows, 12, 1000)`` and the first sample of each; no window of less than 2 s.
    """
    room = signal.shape[1] - WINDOW
    if room < 0:
        return np.zeros((0, signal.shape[0], WINDOW), np.float32), []
    count = min(most, 1 + room // HOP)
    starts = [int(s) for s in np.round(np.linspace(0, room, count))]
    cut = np.stack([signal[:, s : s + WINDOW] for s in starts])
    return cut.astype(np.float32), starts


def complete_limb_leads(leads: dict[str, npt.NDArray[np.floating[Any]]]) -> dict[str, Signal]:
    """Compute limb leads that are missing from two that are there (Einthoven, Goldberger).

    Parameters
    ----------
    leads
        Signals by lead name, mV.

    Returns
    -------
    All that is there, and III, aVR, aVL and aVF where I and II are known; I or II is computed
    from III and the other.
    """
    found: dict[str, Signal] = {k: np.asarray(v, np.float32) for k, v in leads.items()}
    if "III" in found and ("I" in found) != ("II" in found):
        if "I" in found:
            found["II"] = found["I"] + found["III"]
        else:
            found["I"] = found["II"] - found["III"]
    if "I" in found and "II" in found:
        one, two = found["I"], found["II"]
        derived = {
            "III": two - one,
            "aVR": -(one + two) / 2,
            "aVL": one - two / 2,
            "aVF": two - one / 2,
        }
        found = {**derived, **found}
    return found


def _extended(signal: npt.NDArray[np.float64], hz: float) -> tuple[npt.NDArray[np.float64], int]:
    """Mirror both ends, to whole seconds; also return how much was put before.

    A mirror image keeps the baseline also where a recording ends within a wave.
    """
    samples = signal.shape[1]
    before = round(_MARGIN_S * hz)
    total = round(np.ceil(samples / hz + 2 * _MARGIN_S) * hz)
    widths = ((0, 0), (before, total - samples - before))
    return np.pad(signal, widths, mode="reflect"), before


def _gain(frequencies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    rise = np.clip((frequencies - HIGH_PASS_HZ[0]) / (HIGH_PASS_HZ[1] - HIGH_PASS_HZ[0]), 0, 1)
    fall = np.clip((frequencies - LOW_PASS_HZ[0]) / (LOW_PASS_HZ[1] - LOW_PASS_HZ[0]), 0, 1)
    return np.asarray((1 - np.cos(np.pi * rise)) / 2 * (1 + np.cos(np.pi * fall)) / 2)


def _fitted(spectrum: npt.NDArray[np.complex128], target: int) -> npt.NDArray[np.complex128]:
    wanted = target // 2 + 1
    if wanted <= spectrum.shape[1]:
        return spectrum[:, :wanted]
    return np.pad(spectrum, ((0, 0), (0, wanted - spectrum.shape[1])))
