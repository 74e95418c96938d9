"""Turns scores into probabilities and probabilities into decisions, on the validation patients.

Nothing here is chosen on the patients that a card's metrics speak of, and no threshold is 0.5 by
habit: each comes with the policy that chose it, as one line for the card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.probability import Platt, sigmoid
from train.metrics import Floats, Integers, balanced_accuracy

_NEWTON_STEPS = 100
_LEAST_CHANGE = 1e-9


@dataclass(frozen=True, slots=True)
class Threshold:
    """Call it positive from `value` on; `policy` says how the value was chosen."""

    value: float
    policy: str

    def as_json(self) -> dict[str, Any]:
        """Round for the card, downwards, so that what was positive stays positive."""
        return {"value": float(np.floor(self.value * 1e4) / 1e4), "policy": self.policy}


def fit_platt(truth: Integers, logit: Floats) -> Platt:
    """Fit slope and intercept by maximum likelihood with Platt's smoothed targets.

    The targets ``(n1 + 1) / (n1 + 2)`` and ``1 / (n0 + 2)`` keep the fit finite where the classes
    are separable (Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2).

    Parameters
    ----------
    truth
        0 or 1, ``(N,)``, both present.
    logit
        Scores, larger for 1, ``(N,)``.
    """
    ones = int((truth == 1).sum())
    zeros = len(truth) - ones
    target = np.where(truth == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    scale = float(np.std(logit)) or 1.0  # a unit score keeps Newton's steps well conditioned
    x = np.stack([np.asarray(logit, np.float64) / scale, np.ones(len(truth))], axis=1)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(x, target, weights)
        weights = weights - step
        if float(np.abs(step).max()) < _LEAST_CHANGE:
            break
    return Platt(float(weights[0] / scale), float(weights[1]))


def _newton_step(
    x: npt.NDArray[np.float64], target: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Newton's step for the cross-entropy, shortened until the loss does not grow."""
    p = sigmoid(x @ weights)
    gradient = x.T @ (p - target)
    hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
    step = np.linalg.solve(hessian, gradient)
    before = _cross_entropy(x @ weights, target)
    while _cross_entropy(x @ (weights - step), target) > before and np.abs(step).max() > 1e-12:
        step = step / 2
    return np.asarray(step)


def _cross_entropy(logit: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0.0, logit) - target * logit))


def fit_temperature(truth: Integers, logits: Floats) -> float:
    """Divide logits by this for calibrated probabilities (Guo et al., ICML 2017).

    Parameters
    ----------
    truth
        Class of each sample, ``(N,)``.
    logits
        ``(N, classes)``.
    """
    candidates = np.geomspace(0.25, 4.0, 81)
    losses = [_softmax_loss(truth, logits / c) for c in candidates]
    return float(candidates[int(np.argmin(losses))])


def _softmax_loss(truth: Integers, logits: npt.NDArray[np.floating]) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    of_truth = np.take_along_axis(shifted, np.asarray(truth)[:, None], 1)[:, 0]
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - of_truth))


def threshold_for_sensitivity(
    truth: Integers, probability: Floats, least: float = 0.95
) -> Threshold:
    """Choose the largest threshold that finds at least this share of the positives.

    Parameters
    ----------
    truth
        0 or 1, ``(N,)``, with a positive.
    probability
        Larger for 1, ``(N,)``.
    least
        Sensitivity to reach on these samples.
    """
    positives = np.sort(probability[truth == 1])
    missed = int(np.floor((1 - least) * len(positives) + 1e-9))
    return Threshold(
        float(positives[missed]),
        f"largest value with a sensitivity of at least {least:.2f} on the validation patients",
    )


def threshold_for_balanced(truth: Integers, probability: Floats) -> Threshold:
    """Choose the threshold with the best balanced accuracy.

    It lies midway between two neighbouring probabilities; among equals it is the one in the middle.
    """
    seen = np.unique(probability)
    between = (seen[1:] + seen[:-1]) / 2 if len(seen) > 1 else seen
    scores = np.array(
        [balanced_accuracy(truth, (probability >= value).astype(np.int64)) for value in between]
    )
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return Threshold(
        float(between[best[len(best) // 2]]),
        "best balanced accuracy on the validation patients",
    )
