"""Chooses how much the two modalities must agree, on the validation patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train import metrics
from train.cooperative_loss import Floats, fit_linear
from train.scoring.stenosis_screening import PatientScores

#: The paper searches [0, 1].
RHO_GRID = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
#: Larger AUROCs than the best one's by less than this are the same: the larger rho wins, since
#: scores that agree are worth more where one modality is poor.
_SAME = 0.001


@dataclass(frozen=True, slots=True)
class Agreement:
    """The chosen weight of the agreement.

    Attributes
    ----------
    rho
        Chosen.
    auroc
        Of the validation patients, for each of RHO_GRID.
    ecg, xray
        (slope, intercept) that turn the networks' first scores into f_e and f_x at `rho`.
    """

    rho: float
    auroc: tuple[float, ...]
    ecg: tuple[float, float]
    xray: tuple[float, float]


def choose_agreement(train: PatientScores, held: PatientScores) -> Agreement:
    """Fit the scores' slopes and intercepts for each rho, and compare on validation patients.

    The networks stay as they are; the minimum is exact.
    """
    fits = []
    for rho in RHO_GRID:
        ecg, xray = fit_linear(
            _with_one(train.ecg), _with_one(train.xray), train.label.astype(np.float64), rho
        )
        total = _with_one(held.ecg) @ ecg + _with_one(held.xray) @ xray
        fits.append((rho, metrics.auroc(held.label, total), ecg, xray))
    best = max(auroc for _, auroc, _, _ in fits)
    rho, _, ecg, xray = max((f for f in fits if f[1] >= best - _SAME), key=lambda f: f[0])
    return Agreement(
        rho,
        tuple(float(auroc) for _, auroc, _, _ in fits),
        (float(ecg[0]), float(ecg[1])),
        (float(xray[0]), float(xray[1])),
    )


def _with_one(score: Floats) -> Floats:
    return np.stack([score, np.ones(len(score))], axis=1)
