"""Says why an ECG can't be read: leads missing, flat, saturated or swapped, noise, too short.

Every gate is a rule on millivolts with its limit beside it. The limits let pass what machines in
use record (all 400 records of PTB-XL) and stop what is broken.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.ecg import LEADS, RATE_HZ, Signal
from models.ecg_beats import BEFORE, INDEPENDENT, find_beats, median_beat
from models.ecg_input import IncompleteEcgError, choose_group, prepare, twelve_leads
from models.inputs import Recording, Waveform

_LEAST_RATE_HZ = 100.0
_FLAT_MV = 0.05  # peak to peak of what is usual in a second
_CLIPPED_MV, _CLIPPED_S, _CLIPPED_TIMES = 1.0, 0.01, 3  # from the baseline; of each stay
_LARGEST_MV = 20.0
_INCONSISTENT_MV, _INCONSISTENT_SHARE = 0.05, 0.2
_NOISE_MV = 0.12
#: Median of |second difference| of white noise with standard deviation 1: 0.6745 x sqrt(6).
_WHITE_NOISE = 1.652
_LIKENESS = 0.55
_RATE_BPM = (20.0, 300.0)
_SWAPPED = -0.4
_QRS = slice(BEFORE - 40, BEFORE + 40)
_LEAD_I, _V6 = LEADS.index("I"), LEADS.index("V6")


def ecg_problem(recording: Recording) -> str | None:
    """Return why a recording should not be read, or None.

    Parameters
    ----------
    recording
        As decoders make it.

    Returns
    -------
    A few words that complete "the ECG was not read: ...".
    """
    if not recording.groups:
        return "it has no waveform"
    group = choose_group(recording)
    if group.sampling_hz < _LEAST_RATE_HZ:
        return f"{group.sampling_hz:g} samples a second are fewer than {_LEAST_RATE_HZ:.0f}"
    try:
        raw = twelve_leads(group)
        signal = prepare(recording).signal
    except IncompleteEcgError as incomplete:
        return str(incomplete)
    if not np.isfinite(raw).all() or np.abs(raw).max() > 1e4:
        return "it has values that are no voltages"
    gates = (_saturated(raw, group.sampling_hz), _inconsistent(group), _flat(signal))
    found = next((problem for problem in gates if problem is not None), None)
    return found or _disturbed(signal) or _swapped_arms(signal)


def _saturated(raw: Signal, hz: float) -> str | None:
    """Find leads beyond all range, or that stay at the end of theirs: often, or for half a second.

    A single short stay is an electrode that moved, and costs one window.
    """
    bad = []
    for name, lead in zip(LEADS, raw, strict=True):
        level = float(np.median(lead))
        ends = [end for end in (lead.min(), lead.max()) if abs(end - level) > _CLIPPED_MV]
        stays = [run / hz for end in ends for run in _runs(lead == end)]
        often = sum(stay >= _CLIPPED_S for stay in stays) >= _CLIPPED_TIMES
        if often or max(stays, default=0.0) >= 0.5 or np.abs(lead - level).max() > _LARGEST_MV:
            bad.append(name)
    return _of_leads(bad, "saturated")


def _runs(true: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of what is true without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.astype(np.int8), [0]])))
    return [int(n) for n in edges[1::2] - edges[::2]]


def _inconsistent(group: Waveform) -> str | None:
    """Check Einthoven's I + III = II where all three were recorded."""
    leads = dict(zip(group.leads, group.millivolts.astype(np.float64), strict=True))
    if not {"I", "II", "III"} <= set(leads):
        return None
    residual = leads["I"] + leads["III"] - leads["II"]
    residual = residual - np.median(residual)
    size = np.mean([np.std(leads[name]) for name in ("I", "II", "III")])
    if np.std(residual) > max(_INCONSISTENT_MV, _INCONSISTENT_SHARE * size):
        return "I + III is not II: limb leads are swapped or damaged"
    return None


def _flat(signal: Signal) -> str | None:
    """Find leads, of those that don't follow from others, without any deflection."""
    second = int(RATE_HZ)
    whole = signal.shape[1] // second * second
    parts = signal[:, :whole].reshape(len(LEADS), -1, second)
    usual = np.median(np.ptp(parts, axis=2), axis=1)
    bad = [LEADS[i] for i in INDEPENDENT if usual[i] < _FLAT_MV]
    return _of_leads(bad, "flat")


def _disturbed(signal: Signal) -> str | None:
    """Refuse noise: no plausible beats, beats that are not alike, or muscle over everything."""
    rough = np.median(np.abs(np.diff(signal, n=2, axis=1)), axis=1) / _WHITE_NOISE
    noisy = [LEADS[i] for i in INDEPENDENT if rough[i] > _NOISE_MV]
    if noisy:
        return _of_leads(noisy, "buried in noise")
    beats = find_beats(signal)
    rate = 60.0 * len(beats) * RATE_HZ / signal.shape[1]
    beat = median_beat(signal, beats)
    if beat is None or not _RATE_BPM[0] <= rate <= _RATE_BPM[1]:
        return "no heart beats are found in it"
    if _likeness(signal, beats, beat) < _LIKENESS:
        return "its beats do not resemble one another: noise or loose electrodes"
    return None


def _likeness(signal: Signal, beats: npt.NDArray[np.int64], beat: Signal) -> float:
    """Median correlation of the QRS complexes, all leads, with the median beat's."""
    rows = list(INDEPENDENT)
    pattern = beat[rows, _QRS]
    found = []
    for at in beats:
        best = -1.0
        for shift in range(-16, 17, 2):
            low = int(at) + shift - 40
            if low >= 0 and low + 80 <= signal.shape[1]:
                best = max(best, _correlation(signal[rows, low : low + 80], pattern))
        if best > -1.0:
            found.append(best)
    return float(np.median(found)) if found else -1.0


def _swapped_arms(signal: Signal) -> str | None:
    """Find the cables of right and left arm swapped.

    Then lead I is upside down with P, QRS and T, and is the opposite of V6, which also looks from
    the left; aVR and aVL change places, so that aVR is upright where aVL was (Kors, van
    Herpen, "Accurate automatic detection of electrode interchange in the electrocardiogram", Am. J.
    Cardiol. 2001; Batchvarov, Malik, Camm, Europace 2007). In dextrocardia V6 would be as negative
    as lead I.
    """
    beat = median_beat(signal, find_beats(signal))
    if beat is None:
        return None
    level = np.median(beat[:, :20], axis=1, keepdims=True)
    waves = beat - level
    opposite = _correlation(waves[[_LEAD_I]], waves[[_V6]]) < _SWAPPED
    area = waves[:, _QRS].sum(axis=1)
    if opposite and area[_LEAD_I] < 0 < area[_V6]:
        return "the arm electrodes seem swapped: lead I is upside down"
    return None


def _correlation(a: Signal, b: Signal) -> float:
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def _of_leads(names: list[str], what: str) -> str | None:
    if not names:
        return None
    return f"lead{'s are' if len(names) > 1 else ' is'} {what}: {', '.join(names)}"
