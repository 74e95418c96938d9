"""Tests whether one score ranks patients better than another one of the same patients."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
import numpy.typing as npt

from train.metrics import Floats, Integers


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two AUROCs of the same patients.

    Attributes
    ----------
    difference, low, high
        First minus second, with its 95 % interval.
    p
        Two-sided probability of such a difference, or a larger one, if both were equal.
    """

    difference: float
    low: float
    high: float
    p: float

    def as_json(self) -> dict[str, float]:
        """Round for the card."""
        return {
            "value": round(self.difference, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "p": float(f"{self.p:.2g}"),
        }


def delong(truth: Integers, first: Floats, second: Floats) -> Comparison:
    """Compare two AUROCs (DeLong, DeLong & Clarke-Pearson, Biometrics 1988, equations 4 to 8).

    Parameters
    ----------
    truth
        0 or 1, ``(N,)``, at least two of each.
    first, second
        Scores, ``(N,)``, larger for 1.
    """
    areas, covariance = areas_and_covariance(truth, np.stack([first, second]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    spread = sqrt(max(variance, 0.0))
    if spread == 0.0:
        return Comparison(difference, difference, difference, 1.0 if difference == 0 else 0.0)
    p = erfc(abs(difference) / spread / sqrt(2))
    return Comparison(difference, difference - 1.96 * spread, difference + 1.96 * spread, p)


def areas_and_covariance(
    truth: Integers, scores: Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the AUROCs of scores ``(K, N)`` and their covariance ``(K, K)``.

    A placement is the share of the other class that a patient's score is above, ties half.
    """
    positive, negative = scores[:, truth == 1], scores[:, truth == 0]
    of_positives = np.stack([_below(n, p) for n, p in zip(negative, positive, strict=True)])
    of_negatives = np.stack([1 - _below(p, n) for n, p in zip(negative, positive, strict=True)])
    covariance = np.cov(of_positives) / positive.shape[1] + np.cov(of_negatives) / negative.shape[1]
    return of_positives.mean(1), np.atleast_2d(covariance)


def _below(others: Floats, values: Floats) -> npt.NDArray[np.float64]:
    """Share of `others` that is below each value, ties half."""
    ordered = np.sort(others)
    left = np.searchsorted(ordered, values, "left")
    right = np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(ordered)))
