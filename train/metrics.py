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


def auroc(truth: Integers, score: Floats) -> float:
    """Area under the ROC curve, ties counted half; NaN when one class is absent.

    Parameters
    ----------
    truth
        0 or 1, ``(N,)``.
    score
        Larger for 1, ``(N,)``.
    """
    positive = truth == 1
    count = int(positive.sum())
    if count in (0, len(truth)):
        return float("nan")
    _, order, size = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(size) - (size - 1) / 2)[order]  # tied scores share their mean rank
    above = float(rank[positive].sum()) - count * (count + 1) / 2
    return above / (count * (len(truth) - count))


def average_precision(truth: Integers, score: Floats) -> float:
    """Mean precision over the steps of recall, tied scores taken together; NaN without a 1."""
    positives = int((truth == 1).sum())
    if not positives:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # of each run of ties
    hits = np.cumsum(truth[order] == 1)[last]
    taken = np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) * hits / taken) / positives)


def sensitivity(truth: Integers, predicted: Integers) -> float:
    """Share of the 1s that are called 1; NaN without any."""
    return _share(predicted[truth == 1] == 1)


def specificity(truth: Integers, predicted: Integers) -> float:
    """Share of the 0s that are called 0; NaN without any."""
    return _share(predicted[truth == 0] == 0)


def precision(truth: Integers, predicted: Integers) -> float:
    """Share of what is called 1 that is 1; NaN when nothing is called 1."""
    return _share(truth[predicted == 1] == 1)


#: The other name of sensitivity.
recall = sensitivity


def f1(truth: Integers, predicted: Integers) -> float:
    """Harmonic mean of precision and recall of class 1; NaN when there is no 1 at all."""
    right = int(((truth == 1) & (predicted == 1)).sum())
    all_ones = int((truth == 1).sum()) + int((predicted == 1).sum())
    return 2 * right / all_ones if all_ones else float("nan")


def _share(hits: npt.NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def bootstrap(
    metric: Callable[..., float],
    arrays: Sequence[npt.NDArray[np.generic]],
    patients: Sequence[int] | Integers,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Estimate a metric and its interval by drawing patients with replacement.

    Draws for which the metric is not defined (NaN: a class is absent) are left out.

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
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Estimate(metric(*arrays), float(low), float(high))
