"""Measures an ECG: Sokolow-Lyon voltage, QRS width, and the lateral ST segment and T wave.

Simple rules on the median beat, for cohorts whose truth is made of measured features; not a
replacement for an electrocardiograph's measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.ecg import LATERAL, LEADS, RATE_HZ, Signal
from models.ecg_beats import BEFORE, find_beats, median_beat, spatial_velocity

_V1, _V5 = LEADS.index("V1"), LEADS.index("V5")
_OVER_S = 0.012
_QUIET_SHARE, _QUIET_MV_PER_S = 0.04, 4.0
_GAP_S = 0.016
_REACH_S = 0.15
_ST_AFTER_QRS_S = 0.06
_T_AFTER_QRS_S = (0.09, 0.36)


@dataclass(frozen=True, slots=True)
class EcgMeasures:
    """What the median beat measures.

    Attributes
    ----------
    beats
        Complexes found.
    heart_rate_bpm
        From the median R-R interval; 0 with fewer than two beats.
    rr_variation
        Standard deviation of the R-R intervals by their mean; large in atrial fibrillation.
    voltage_mv
        Depth of S in V1 plus height of R in V5 (Sokolow and Lyon, Am. Heart J. 1949).
    qrs_ms
        From the first to the last steep part of all leads together; about 10 ms less than an
        electrocardiograph says of a narrow complex.
    lateral_st_mv, lateral_t_mv
        Means over I, aVL, V5 and V6: 60 ms after the QRS, and the T wave's peak of either sign.
    """

    beats: int
    heart_rate_bpm: float
    rr_variation: float
    voltage_mv: float
    qrs_ms: float
    lateral_st_mv: float
    lateral_t_mv: float

    @property
    def strain_mv(self) -> float:
        """Strain index: how far lateral ST and T lie below the baseline together, mV."""
        return -(self.lateral_st_mv + self.lateral_t_mv)


def measure(signal: Signal) -> EcgMeasures | None:
    """Measure an ECG.

    Parameters
    ----------
    signal
        ``(12, samples)``, as `models.ecg.condition` returns it.

    Returns
    -------
    None where no whole beat is found.
    """
    beats = find_beats(signal)
    beat = median_beat(signal, beats)
    if beat is None:
        return None
    first, last = _qrs_bounds(beat)
    level = np.median(beat[:, max(0, first - 20) : max(first - 4, 1)], axis=1, keepdims=True)
    waves = beat - level
    qrs = waves[:, first : last + 1]
    st_at = min(last + round(_ST_AFTER_QRS_S * RATE_HZ), beat.shape[1] - 1)
    low, high = (last + round(s * RATE_HZ) for s in _T_AFTER_QRS_S)
    intervals = np.diff(beats) / RATE_HZ
    return EcgMeasures(
        beats=len(beats),
        heart_rate_bpm=float(60.0 / np.median(intervals)) if len(intervals) else 0.0,
        rr_variation=float(intervals.std() / intervals.mean()) if len(intervals) else 0.0,
        voltage_mv=float(max(qrs[_V5].max(), 0.0) - min(qrs[_V1].min(), 0.0)),
        qrs_ms=float((last - first) * 1000.0 / RATE_HZ),
        lateral_st_mv=float(waves[list(LATERAL), st_at].mean()),
        lateral_t_mv=float(np.mean([_peak(waves[lead, low:high]) for lead in LATERAL])),
    )


def _qrs_bounds(beat: Signal) -> tuple[int, int]:
    """First and last sample of the QRS: walk from the steepest point until it stays quiet.

    Quiet is little above the beat's calmest level, for longer than a notch of a bundle branch
    block lasts. How little depends on the steepest slope and also does not: a slow complex is
    followed by an ST segment that is hardly slower.
    """
    activity = spatial_velocity(beat, _OVER_S)
    reach = round(_REACH_S * RATE_HZ)
    near = slice(BEFORE - reach // 2, BEFORE + reach // 2)
    top = near.start + int(activity[near].argmax())
    calm = float(np.percentile(activity[5:-5], 10))
    limit = calm + _QUIET_MV_PER_S + _QUIET_SHARE * (float(activity[top]) - calm)
    return _edge(activity, top, -1, limit, reach), _edge(activity, top, 1, limit, reach)


def _edge(
    activity: npt.NDArray[np.float64], top: int, direction: int, limit: float, reach: int
) -> int:
    """Walk from `top` and return the last sample above `limit` before it stays below."""
    end = int(np.clip(top + direction * reach, 0, len(activity) - 1))
    last = top
    for at in range(top, end + direction, direction):
        if activity[at] >= limit:
            last = at
        elif abs(at - last) >= round(_GAP_S * RATE_HZ):
            break
    return last


def _peak(wave: npt.NDArray[np.float32]) -> float:
    """Value farthest from 0."""
    return float(wave[np.abs(wave).argmax()]) if len(wave) else 0.0
