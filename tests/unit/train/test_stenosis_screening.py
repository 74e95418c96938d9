"""The cooperative training: pairs of the same patient, a chosen rho, two blobs at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.cards import Card
from models.weights import load_network
from tests.tiny_fusion_cohort import write_fusion_cohort
from train.agreement import RHO_GRID, choose_agreement
from train.datasets.fusion import HELD_OUT, FusionPairs, held_out
from train.datasets.xray import XrayFilms, stretched
from train.export import export
from train.recipe import Recipe, RecipeError, Stage
from train.report import Report
from train.scoring.stenosis_screening import (
    PatientScores,
    predict,
    ranking,
    share_of_best,
    summary_of,
)
from train.splits import SPLITS
from train.tasks import task_of
from train.tasks.stenosis_screening import CooperativeNet, StenosisScreeningTask
from train.tasks.xray_features import XrayFeaturesTask


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_fusion_cohort(tmp_path_factory.mktemp("fusion"))
    write_fusion_cohort(folder / HELD_OUT, patients=4, seed=6)
    return folder


def _recipe(task: str = "stenosis_screening", **options: str | bool | int | float) -> Recipe:
    stage = (Stage(size=224, steps=2, batch=2, lr=1e-3),)
    return Recipe(task=task, name="ecg_net", version="0", stage=stage, options=dict(options))


def _scores(count: int, seed: int, correlation: float = 0.25) -> PatientScores:
    """Draw patients whose two scores have known noise."""
    rng = np.random.default_rng(seed)
    label = (rng.random(count) < 0.45).astype(np.int64)
    shared = np.sqrt(correlation) * rng.normal(size=count)
    ecg, xray = (
        separation * (label - 0.5) + shared + np.sqrt(1 - correlation) * rng.normal(size=count)
        for separation in (1.0684, 0.9763)
    )
    zero = np.zeros((count, 4))
    best = 1.0684 * ecg + 0.9763 * xray
    return PatientScores(
        label, 3.0 * ecg + 1, xray, zero, zero, best, ecg, xray, tuple(range(count))
    )


def test_pairs_are_of_one_patient_and_splits_are_disjoint(cohort: Path) -> None:
    parts = {split: FusionPairs(cohort, split) for split in SPLITS}
    ids = [set(data.patient_ids) for data in parts.values()]
    assert set.union(*ids) == set(range(24))
    assert sum(map(len, ids)) == 24
    data = parts["train"]
    batch = data.batch([0, 3], np.random.default_rng(0))
    assert batch["windows"].shape == (2, 12, 1000)
    assert batch["films"].shape == (2, 1, 224, 224)
    for row, position in enumerate((0, 3)):
        assert data.truth(position)["patient_id"] == data.patient_ids[position]
        assert data.ecg.truth(position)["patient_id"] == data.patient_ids[position]
        assert batch["label"][row] == data.labels[position]


def test_the_held_out_cohort_is_read_whole(cohort: Path) -> None:
    assert sum(len(part) for part in held_out(cohort)) == 4
    assert held_out(cohort / HELD_OUT) == ()


def test_films_change_in_training_only(cohort: Path) -> None:
    task = XrayFeaturesTask(_recipe("xray_features", autocontrast=1.0))
    data = task.data(cohort, "train", 64)
    assert isinstance(data, XrayFilms)
    plain = data.batch([0], None)["films"]
    assert plain.shape == (1, 1, 64, 64)
    np.testing.assert_array_equal(plain, data.batch([0], None)["films"])
    narrow = (plain[0, 0] // 2 + 30).astype(np.uint8)
    wide = stretched(narrow)
    assert (wide.min(), wide.max()) == (0, 255)
    assert (np.diff(wide.ravel()[np.argsort(narrow.ravel())].astype(int)) >= 0).all()


def test_fixed_resnet_keeps_weights_and_statistics(cohort: Path) -> None:
    torch.manual_seed(0)
    task = StenosisScreeningTask(_recipe())
    network = task.network(224)
    network.rho.fill_(0.5)
    network.train()
    before = {k: v.clone() for k, v in network.ecg.lead.state_dict().items()}
    arrays = task.data(cohort, "train", 224).batch([0, 1], np.random.default_rng(0))
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)
    terms = task.loss(network, {k: torch.from_numpy(v) for k, v in arrays.items()}, 0.0)
    expected = terms["fit"] + 0.5 * terms["agreement"]
    torch.testing.assert_close(terms["loss"], expected)
    torch.autograd.backward(terms["loss"])
    optimizer.step()
    for name, value in network.ecg.lead.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert network.ecg.head.weight.grad is not None
    assert network.xray.backbone.stem[0].weight.grad is not None  # type: ignore[index,union-attr]


@pytest.mark.parametrize("modality", ["ecg", "xray"])
def test_one_modality_learns_by_cross_entropy(cohort: Path, modality: str) -> None:
    task = StenosisScreeningTask(_recipe(modality=modality))
    network = task.network(224).eval()
    arrays = task.data(cohort, "val", 224).batch([0], None)
    batch = {k: torch.from_numpy(v) for k, v in arrays.items()}
    with torch.no_grad():
        found = network(batch["windows"], batch["films"])
        terms = task.loss(network, batch, 0.0)
    other = found.xray if modality == "ecg" else found.ecg
    assert (other == 0).all()
    p = torch.sigmoid(found.prediction)
    wanted = -torch.log(p if batch["label"] == 1 else 1 - p).mean()
    torch.testing.assert_close(terms["loss"], wanted)


def test_the_recipe_is_checked() -> None:
    for options in ({"modality": "echo"}, {"backbone": "resnet"}, {"rho": 0.5}):
        with pytest.raises(RecipeError):
            StenosisScreeningTask(_recipe(**options))
    with pytest.raises(RecipeError, match="start"):
        XrayFeaturesTask(
            Recipe("xray_features", "x", "0", (Stage(64, 1, 1, 1e-3),), start="elsewhere")
        )


def test_agreement_is_fitted_to_scores_of_any_scale() -> None:
    chosen = choose_agreement(_scores(4000, 0), _scores(4000, 1))
    assert chosen.rho in RHO_GRID
    assert len(chosen.auroc) == len(RHO_GRID)
    assert max(chosen.auroc) - chosen.auroc[RHO_GRID.index(chosen.rho)] < 0.002
    # The ECG's scores are three times as wide, so that their slope is about a third.
    assert chosen.ecg[0] == pytest.approx(chosen.xray[0] / 3, rel=0.35)


def test_ranking_knows_the_best_and_how_far_it_is() -> None:
    table = ranking(_scores(2500, 3), draws=10)
    assert table["best_possible_auroc"]["value"] == pytest.approx(0.82, abs=0.03)
    assert table["auroc_ecg_alone"]["value"] == pytest.approx(0.775, abs=0.03)
    # The ECG's scores have three times the weight they should have: hardly better than alone.
    assert table["auroc_ecg_alone"]["value"] < table["auroc"]["value"]
    assert table["auroc"]["value"] < table["best_possible_auroc"]["value"]
    assert table["share_of_best"]["value"] < 1
    assert share_of_best(np.array([0, 1, 0, 1]), np.arange(4.0), np.arange(4.0)) == 1.0


def test_report_calibrates_on_the_validation_patients() -> None:
    held, scored = _scores(2000, 4), _scores(2000, 5)
    report = summary_of(held, scored, {"split": "test"}, draws=10)
    assert set(report.thresholds) == {
        "stenosis_probability",
        "ecg_probability",
        "xray_probability",
    }
    assert report.metrics["sensitivity"]["value"] == pytest.approx(0.95, abs=0.03)
    slope, intercept = (report.calibration[f"stenosis_{k}"] for k in ("slope", "intercept"))
    probability = 1 / (1 + np.exp(-(slope * scored.both + intercept)))
    assert probability.mean() == pytest.approx(scored.label.mean(), abs=0.03)


def test_scores_of_patients_and_two_blobs(cohort: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = _recipe()
    network = task_of(recipe).network(224).eval()
    assert isinstance(network, CooperativeNet)
    found = predict(network, FusionPairs(cohort, "val"), windows=1)
    again = predict(network, FusionPairs(cohort, "val"), windows=1, low_precision=False)
    assert found.ecg_features.shape[1] == 256
    assert found.xray_features.shape == (len(found.label), 1280)
    np.testing.assert_allclose(found.xray, again.xray, atol=0.02)
    numbers = {f"{n}_{k}": 1.0 for n in ("stenosis", "ecg", "xray") for k in ("slope", "intercept")}
    limits = {
        f"{n}_probability": {"value": 0.3, "policy": "x"} for n in ("stenosis", "ecg", "xray")
    }
    statistics = {"ecg_net": {"a": 1}, "cxr_net": {"b": 2}}
    card = export(recipe, network, Report({}, limits, numbers, statistics), cohort, tmp_path)
    assert (card.name, card.network) == ("ecg_net", "EcgNet")
    for name, single in (("ecg_net", "ecg"), ("cxr_net", "xray")):
        loaded, own = load_network(name, tmp_path)
        _same_network(loaded, getattr(network, single))
        assert set(own.thresholds) == {"stenosis_probability", f"{single}_probability"}
        assert own.feature_statistics == statistics[name]
    assert "Apache-2.0" in _card(tmp_path).licence


def _card(folder: Path) -> Card:
    return load_network("cxr_net", folder)[1]


def _same_network(loaded: torch.nn.Module, trained: torch.nn.Module) -> None:
    expected = trained.state_dict()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=2e-3, atol=1e-5)
