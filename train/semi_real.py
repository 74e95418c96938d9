"""How far phantom-trained networks carry on real ECGs and real films.

Pairs, their label and the best possible AUROCs are train.semi_real_label's. Everything is scored in
five folds: a fold's test pairs are those whose ECG and whose film both belong to it, and heads are
fitted to pairs of which neither does, so that no recording and no film is ever on both sides.

The heads are fitted exactly. With all pairs of n ECGs and m films, the cooperative loss over linear
scores needs sums over ECGs and over films only, never over pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train import metrics
from train.semi_real_label import Floats, PairLabel, expected_auroc
from train.splits import position_of

FOLDS = 5
#: Penalties of the features' weights that the heads gain; infinity leaves the phantoms' heads.
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)


@dataclass(frozen=True, slots=True)
class Modality:
    """One side of the pairs.

    Attributes
    ----------
    score
        Of the phantom-trained network, ``(N,)``.
    features
        Pooled, ``(N, D)``.
    fold
        0 to FOLDS - 1, ``(N,)``; the same for all recordings of a person.
    """

    score: Floats
    features: Floats
    fold: npt.NDArray[np.int64]


def folds_of(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the fold of each person or film, from the name alone."""
    return np.array([int(position_of(name) * FOLDS) for name in names])


def draw_labels(label: PairLabel, seed: int = 0) -> npt.NDArray[np.int64]:
    """Draw the label of each pair, ``(ECGs, films)``."""
    rng = np.random.default_rng(seed)
    return (rng.random(label.probability.shape) < label.probability).astype(np.int64)


def score_semi_real(
    ecg: Modality,
    xray: Modality,
    label: PairLabel,
    rho: float,
    seed: int = 0,
    draws: int = 400,
) -> dict[str, Any]:
    """Score both networks on real pairs, as they come from phantoms and with heads fitted.

    Returns
    -------
    Names that begin with ``semi_real_``, for the cards; AUROCs as mean over folds, with 95 %
    intervals over ECGs and films drawn with replacement in each fold.
    """
    labels = draw_labels(label, seed)
    first = _pair_scores(ecg.score, xray.score)
    fitted_ecg, fitted_xray, penalties = _fit_folds(ecg, xray, labels, rho)
    best = _pair_scores(label.slope_ecg * label.ecg, label.slope_xray * label.xray)
    fitted = _pair_scores(fitted_ecg, fitted_xray)
    zero_ecg, zero_xray = np.zeros(len(ecg.score)), np.zeros(len(xray.score))
    best_ecg, best_xray = _pair_scores(label.ecg, zero_xray), _pair_scores(zero_ecg, label.xray)
    scored = {
        "auroc_from_phantoms": first,
        "auroc_ecg_from_phantoms": _pair_scores(ecg.score, zero_xray),
        "auroc_xray_from_phantoms": _pair_scores(zero_ecg, xray.score),
        "auroc_fitted_heads": fitted,
        "auroc_ecg_fitted_head": _pair_scores(fitted_ecg, zero_xray),
        "auroc_xray_fitted_head": _pair_scores(zero_ecg, fitted_xray),
        "auroc_best_on_these_labels": best,
    }
    table: dict[str, Any] = {
        "semi_real_ecgs": len(ecg.score),
        "semi_real_films": len(xray.score),
        "semi_real_test_pairs": int(sum(_pairs(ecg, xray, k).sum() for k in range(FOLDS))),
        "semi_real_prevalence": round(float(labels.mean()), 3),
        "semi_real_best_possible_auroc": _expected(label, best),
        "semi_real_best_possible_auroc_ecg_alone": _expected(label, best_ecg),
        "semi_real_best_possible_auroc_xray_alone": _expected(label, best_xray),
        "semi_real_penalties": penalties,
    }
    for name, scores in scored.items():
        estimate = _fold_auroc(ecg, xray, labels, scores, seed, draws)
        table[f"semi_real_{name}"] = estimate.as_json()
    return table


def _expected(label: PairLabel, scores: Floats) -> float:
    return round(expected_auroc(label.probability, scores), 4)


def _pair_scores(ecg: Floats, xray: Floats) -> Floats:
    return np.asarray(ecg[:, None] + xray[None, :])


def _pairs(ecg: Modality, xray: Modality, fold: int) -> npt.NDArray[np.bool_]:
    return np.asarray((ecg.fold == fold)[:, None] & (xray.fold == fold)[None, :])


def _fold_auroc(
    ecg: Modality,
    xray: Modality,
    labels: npt.NDArray[np.int64],
    scores: Floats,
    seed: int,
    draws: int,
) -> metrics.Estimate:
    """Mean AUROC of the folds; the interval draws ECGs and films, not pairs."""
    rng = np.random.default_rng(seed)

    def mean(draw: bool) -> float:
        found = []
        for fold in range(FOLDS):
            rows, columns = np.flatnonzero(ecg.fold == fold), np.flatnonzero(xray.fold == fold)
            if draw:
                rows = rng.choice(rows, len(rows))
                columns = rng.choice(columns, len(columns))
            at = np.ix_(rows, columns)
            found.append(metrics.auroc(labels[at].ravel(), scores[at].ravel()))
        return float(np.nanmean(found))

    drawn = [mean(True) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return metrics.Estimate(mean(False), float(low), float(high))


def _fit_folds(
    ecg: Modality, xray: Modality, labels: npt.NDArray[np.int64], rho: float
) -> tuple[Floats, Floats, list[float]]:
    """Fit heads for each fold and return the scores of the fold's own ECGs and films.

    The penalty is chosen on the next fold, whose pairs are then not fitted to.
    """
    of_ecg, of_xray = np.zeros(len(ecg.score)), np.zeros(len(xray.score))
    chosen = []
    for fold in range(FOLDS):
        other = (fold + 1) % FOLDS
        tried = []
        for penalty in PENALTIES:
            e, x = _fit(ecg, xray, labels, (fold, other), penalty, rho)
            at = np.ix_(ecg.fold == other, xray.fold == other)
            auroc = metrics.auroc(labels[at].ravel(), _pair_scores(e, x)[at].ravel())
            tried.append((auroc, penalty, e, x))
        _, penalty, e, x = max(tried, key=lambda t: t[0])
        of_ecg[ecg.fold == fold] = e[ecg.fold == fold]
        of_xray[xray.fold == fold] = x[xray.fold == fold]
        chosen.append(penalty)
    return of_ecg, of_xray, chosen


def _fit(
    ecg: Modality,
    xray: Modality,
    labels: npt.NDArray[np.int64],
    without: tuple[int, ...],
    penalty: float,
    rho: float,
) -> tuple[Floats, Floats]:
    """Minimise the cooperative loss plus ``penalty x |weights of the features|^2 / 2``.

    A score is ``a (phantoms' score) + b + weights @ features``, features standardised; only the
    weights are penalised. Returns the scores of all ECGs and films.
    """
    rows, columns = ~np.isin(ecg.fold, without), ~np.isin(xray.fold, without)
    e, x = _design(ecg, rows), _design(xray, columns)
    fit_e, fit_x = e[rows], x[columns]
    n, m = len(fit_e), len(fit_x)
    y = labels[np.ix_(rows, columns)].astype(np.float64)
    # Means over all pairs of the second derivatives and of the label with each feature.
    of_e, of_x = fit_e.T @ fit_e / n, fit_x.T @ fit_x / m
    cross = (1 - rho) * np.outer(fit_e.mean(0), fit_x.mean(0))
    matrix = np.block([[(1 + rho) * of_e, cross], [cross.T, (1 + rho) * of_x]])
    target = np.concatenate([fit_e.T @ y.mean(1) / n, fit_x.T @ y.mean(0) / m])
    strength = np.full(len(target), penalty)
    strength[[0, 1, e.shape[1], e.shape[1] + 1]] = 1e-6
    weights = np.linalg.solve(matrix + np.diag(strength), target)
    return e @ weights[: e.shape[1]], x @ weights[e.shape[1] :]


def _design(side: Modality, fitted: npt.NDArray[np.bool_]) -> Floats:
    """Columns: standardised score, one, standardised features; each feature's share is equal."""
    columns = np.concatenate([side.score[:, None], side.features], axis=1)
    mean, std = columns[fitted].mean(0), np.maximum(columns[fitted].std(0), 1e-6)
    scaled = (columns - mean) / std
    scaled[:, 1:] /= np.sqrt(side.features.shape[1])
    return np.insert(scaled, 1, 1.0, axis=1)
