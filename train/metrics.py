"""How good predictions are: numbers with bootstrap confidence intervals over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Round for the card."""
        return {
            "value": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


def rmse(truth: Floats, predicted: Floats) -> float:
    """Root mean square error."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def mae(truth: Floats, predicted: Floats) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(predicted - truth)))


def bias(truth: Floats, predicted: Floats) -> float:
    """Mean of predicted - truth."""
    return float(np.mean(predicted - truth))


def r2(truth: Floats, predicted: Floats) -> float:
    """Coefficient of determination; 0 when the truth does not vary."""
    total = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((predicted - truth) ** 2).sum()) / total if total else 0.0


def confusion(truth: Integers, predicted: Integers, classes: int) -> npt.NDArray[np.int64]:
    """Counts, rows are the truth."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def balanced_accuracy(truth: Integers, predicted: Integers) -> float:
    """Mean recall of the classes that occur."""
    return float(np.mean([(predicted[truth == k] == k).mean() for k in np.unique(truth)]))


def accuracy(truth: Integers, predicted: Integers) -> float:
    """Share that is right."""
    return float((truth == predicted).mean())


def bootstrap(
    metric: Callable[..., float],
    arrays: Sequence[npt.NDArray[np.generic]],
    patients: Sequence[int],
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a metric and its interval by drawing patients with replacement.

    Parameters
    ----------
    metric
        Takes `arrays`.
    arrays
        Truth and predictions, one entry for each clip.
    patients
        The patient of each entry: clips of one patient are drawn together.
    draws, seed
        Number of draws, and their seed, so that a report can be repeated.
    """
    rng = np.random.default_rng(seed)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    rows = [np.flatnonzero(owner == k) for k in range(int(owner.max()) + 1)]
    values = []
    for _ in range(draws):
        drawn = np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])
        values.append(metric(*(a[drawn] for a in arrays)))
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(metric(*arrays), float(low), float(high))
