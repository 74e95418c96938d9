"""What carries the score must be measurable in the signal, whatever else varies."""

from __future__ import annotations

import numpy as np

from models.ecg import condition
from models.ecg_beats import find_beats, median_beat
from train.phantom.ecg.recording import render_ecg
from train.phantom.patient import draw_patient

_SEED, _PATIENTS, _FITTED = 33, 170, 110


def test_the_score_follows_from_the_median_beat() -> None:
    """Ridge regression of the score on median beats without a block: no network involved."""
    beats, scores = [], []
    for patient_id in range(_PATIENTS):
        patient = draw_patient(patient_id, _SEED)
        if patient.conduction.lbbb:
            continue
        signal = condition(render_ecg(patient, _SEED).millivolts, 500.0)
        beat = median_beat(signal, find_beats(signal))
        assert beat is not None
        beats.append(_describe(beat))
        scores.append(patient.scores.ecg)
    x, y = np.array(beats), np.array(scores)
    x = (x - x.mean(0)) / x.std(0)
    train = np.arange(len(y)) < _FITTED
    a, b = x[train], y[train] - y[train].mean()
    weights = np.linalg.solve(a.T @ a + 0.5 * np.eye(a.shape[1]), a.T @ b)
    residual = y[~train] - y[train].mean() - x[~train] @ weights
    assert 1 - residual.var() / y[~train].var() > 0.9


def _describe(beat: np.ndarray) -> list[float]:
    """Logarithms of voltage and of the complex's width at three heights, and lateral ST and T."""
    lateral = beat[[0, 10, 11]]
    v5, v1 = beat[10, 80:220], -beat[6, 80:220]
    widths = [float(np.log((v5 > share * v5.max()).sum())) for share in (0.2, 0.5)]
    widths += [float(np.log((v1 > share * v1.max()).sum())) for share in (0.2, 0.5)]
    voltage = float(np.log(v5.max() + v1.max()))
    st = lateral[:, 200:230].mean()
    return [voltage, *widths, float(st), float(lateral[:, 250:320].mean()), float(v1.max())]
