"""The semi-real cohort: a label of known difficulty, folds without overlap, heads that learn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from train import metrics
from train.datasets.ctr_films import read_ctr_films
from train.semi_real import FOLDS, Modality, _fit, draw_labels, folds_of, score_semi_real
from train.semi_real_label import (
    ECG_AUROC,
    XRAY_AUROC,
    ecg_scores,
    expected_auroc,
    standardised,
    tuned_label,
)


@pytest.fixture(scope="module")
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return standardised(rng.gamma(3.0, size=200)), standardised(rng.normal(size=90))


def test_expected_auroc_is_the_mean_over_draws() -> None:
    rng = np.random.default_rng(1)
    score = np.round(rng.normal(size=300), 1)
    p = 1 / (1 + np.exp(-score))
    drawn = []
    for _ in range(300):
        drawn.append(metrics.auroc((rng.random(300) < p).astype(int), score))
    assert expected_auroc(p, score) == pytest.approx(np.mean(drawn), abs=0.005)


def test_the_label_is_as_hard_as_asked_for(scores: tuple[np.ndarray, np.ndarray]) -> None:
    label = tuned_label(*scores)
    p = label.probability
    assert p.mean() == pytest.approx(0.35, abs=1e-3)
    assert expected_auroc(p.mean(1), scores[0]) == pytest.approx(ECG_AUROC, abs=1e-3)
    assert expected_auroc(p.mean(0), scores[1]) == pytest.approx(XRAY_AUROC, abs=1e-3)
    assert expected_auroc(p, p) > ECG_AUROC + 0.05
    assert draw_labels(label).mean() == pytest.approx(0.35, abs=0.02)


def test_ecg_scores_grow_with_each_measure() -> None:
    rng = np.random.default_rng(2)
    voltage, qrs, strain = rng.uniform(1, 5, 50), rng.uniform(80, 150, 50), rng.normal(size=50)
    before = ecg_scores(voltage, qrs, strain)
    for k in range(3):
        changed = [voltage.copy(), qrs.copy(), strain.copy()]
        changed[k][7] *= 1.2
        changed[k][7] += 0.5
        assert ecg_scores(*changed)[7] > before[7]


def test_folds_depend_on_the_name_alone() -> None:
    names = [f"film-{k}" for k in range(300)]
    folds = folds_of(names)
    assert set(folds) == set(range(FOLDS))
    np.testing.assert_array_equal(folds_of(names[::-1])[::-1], folds)
    assert np.bincount(folds).min() > 30


def _sides(scores: tuple[np.ndarray, np.ndarray], noise: float) -> tuple[Modality, Modality]:
    rng = np.random.default_rng(3)
    sides = []
    for number, truth in enumerate(scores):
        features = rng.normal(size=(len(truth), 12))
        features[:, 0] = truth + noise * rng.normal(size=len(truth))
        names = [f"{number}-{k}" for k in range(len(truth))]
        sides.append(Modality(rng.normal(size=len(truth)), features, folds_of(names)))
    return sides[0], sides[1]


def test_heads_learn_what_the_phantoms_did_not_teach(
    scores: tuple[np.ndarray, np.ndarray],
) -> None:
    ecg, xray = _sides(scores, 0.3)
    found = score_semi_real(ecg, xray, tuned_label(*scores), 0.25, draws=20)
    assert found["semi_real_auroc_from_phantoms"]["value"] == pytest.approx(0.5, abs=0.08)
    best = found["semi_real_best_possible_auroc"]
    assert 0.75 < found["semi_real_auroc_fitted_heads"]["value"] < best + 0.02
    assert found["semi_real_best_possible_auroc_ecg_alone"] == pytest.approx(0.775, abs=1e-3)


def test_labels_of_the_tested_fold_are_not_used(scores: tuple[np.ndarray, np.ndarray]) -> None:
    ecg, xray = _sides(scores, 0.3)
    labels = draw_labels(tuned_label(*scores))
    other = labels.copy()
    held = np.isin(ecg.fold, (0, 1))[:, None] | np.isin(xray.fold, (0, 1))[None, :]
    other[held] = 1 - other[held]
    for one, two in zip(
        _fit(ecg, xray, labels, (0, 1), 0.1, 0.5),
        _fit(ecg, xray, other, (0, 1), 0.1, 0.5),
        strict=True,
    ):
        np.testing.assert_allclose(one, two)


def test_real_films_are_read_with_their_ratio(tmp_path: Path) -> None:
    (tmp_path / "png").mkdir()
    ramp = np.tile(np.arange(128, dtype=np.uint8), (100, 1))
    for name in ("b.png", "a.png", "c.png"):
        cv2.imwrite(str(tmp_path / "png" / name), ramp)
    (tmp_path / "ctr.csv").write_text("id,ctr\nb.png,0.5\na.png,0.61\n")
    films = read_ctr_films(tmp_path)
    assert [(film.name, film.ratio) for film in films] == [("a.png", 0.61), ("b.png", 0.5)]
    assert films[0].grey.shape == (224, 224)
    (tmp_path / "ctr.csv").write_text("id,ctr\nlost.png,0.5\n")
    with pytest.raises(FileNotFoundError, match=r"lost\.png"):
        read_ctr_films(tmp_path)
