"""A label for pairs of real ECGs and real films whose best possible AUROC is known.

No real film here comes with an ECG, and none with an echo. So each pair is a made-up patient, and
the label is drawn from a probability of what is measured in both:

    P(label) = sigmoid(a e + b x + c)

e is the ECG's score: log voltage, QRS width and strain index, each standardised over the ECGs,
weighted 0.70, 0.35 and 0.62 and standardised again. x is the standardised cardiothoracic ratio.
a and b are set so that e alone and x alone reach the AUROCs of the paper (0.775 and 0.755, Front.
Radiol. 2025, 1698680) and c so that the given share of all pairs has the label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.probability import sigmoid
from train.phantom.score import ECG_DIRECTION

Floats = npt.NDArray[np.float64]

ECG_AUROC, XRAY_AUROC, PREVALENCE = 0.775, 0.755, 0.35
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class PairLabel:
    """The probability of the label of each pair of an ECG and a film.

    Attributes
    ----------
    slope_ecg, slope_xray, intercept
        a, b and c.
    ecg, xray
        e of each ECG and x of each film.
    """

    slope_ecg: float
    slope_xray: float
    intercept: float
    ecg: Floats
    xray: Floats

    @property
    def probability(self) -> Floats:
        """P(label), ``(ECGs, films)``."""
        return sigmoid(self._logit())

    def _logit(self) -> Floats:
        e, x = self.slope_ecg * self.ecg[:, None], self.slope_xray * self.xray[None, :]
        return np.asarray(e + x + self.intercept)


def ecg_scores(voltage_mv: Floats, qrs_ms: Floats, strain_mv: Floats) -> Floats:
    """Return e of each ECG from its measures."""
    columns = np.stack([np.log(np.maximum(voltage_mv, 0.1)), qrs_ms, strain_mv], axis=1)
    return standardised(np.stack([standardised(c) for c in columns.T], axis=1) @ ECG_DIRECTION)


def standardised(values: Floats) -> Floats:
    """Bring values to mean 0 and standard deviation 1."""
    return np.asarray((values - values.mean()) / values.std())


def tuned_label(ecg: Floats, xray: Floats, prevalence: float = PREVALENCE) -> PairLabel:
    """Find a, b and c for these scores, by fixed-point steps on each.

    Parameters
    ----------
    ecg, xray
        e and x.
    prevalence
        Share of all pairs with the label.
    """
    a, b, c = 1.0, 1.0, 0.0
    for _ in range(_ROUNDS):
        label = PairLabel(a, b, c, ecg, xray)
        p = label.probability
        c += 2.0 * (np.log(prevalence / (1 - prevalence)) - np.log(p.mean() / (1 - p.mean())))
        a += 4.0 * (ECG_AUROC - expected_auroc(p.mean(1), ecg))
        b += 4.0 * (XRAY_AUROC - expected_auroc(p.mean(0), xray))
    return PairLabel(a, b, float(c), ecg, xray)


def expected_auroc(probability: Floats, score: Floats) -> float:
    """AUROC of a score over all draws of the labels: mean over pairs, weighted ``p (1 - p')``.

    Parameters
    ----------
    probability
        P(label) of each sample, any shape.
    score
        Of the same shape.
    """
    order = np.argsort(score, axis=None, kind="stable")
    p, s = probability.ravel()[order], score.ravel()[order]
    _, group = np.unique(s, return_inverse=True)
    negatives = np.bincount(group, 1 - p)
    positives = np.bincount(group, p)
    below = np.cumsum(negatives) - negatives
    return float(positives @ (below + 0.5 * negatives) / (positives.sum() * negatives.sum()))
