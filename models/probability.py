"""Probabilities, their logits, and Platt's calibration of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

#: Probabilities are kept this far from 0 and 1 before their logit is taken.
_EDGE = 1e-6


def sigmoid(x: Floats | float) -> npt.NDArray[np.float64]:
    """Logistic function without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64))))


def logit(probability: Floats | float) -> npt.NDArray[np.float64]:
    """Inverse of the logistic function; 0 and 1 count as nearly so."""
    p = np.clip(np.asarray(probability, np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(p / (1 - p)))


def percent_words(probability: float) -> str:
    """``97 %``; never 0 % or 100 %, which no network may promise: ``< 1 %`` and ``> 99 %``."""
    if probability < 0.01:
        return "< 1 %"
    if probability > 0.99:
        return "> 99 %"
    return f"{100 * probability:.0f} %"


def percent_value(probability: float) -> float:
    """Percent with one decimal for a report, 0.1 to 99.9: certainty is not reported."""
    return min(max(round(100 * float(probability), 1), 0.1), 99.9)


@dataclass(frozen=True, slots=True)
class Platt:
    """``probability = sigmoid(slope x logit + intercept)`` (Platt, 1999)."""

    slope: float
    intercept: float

    def __call__(self, scores: Floats | float) -> npt.NDArray[np.float64]:
        """Probabilities of logits of any shape."""
        return sigmoid(self.slope * np.asarray(scores, np.float64) + self.intercept)

    def of_probability(self, probability: float) -> float:
        """Calibrate one probability."""
        return float(self(logit(probability)))

    def as_json(self, name: str) -> dict[str, float]:
        """``<name>_slope`` and ``<name>_intercept``, for a card's calibration."""
        return {
            f"{name}_slope": round(self.slope, 5),
            f"{name}_intercept": round(self.intercept, 5),
        }
