"""ECG windows of a cohort, and the training that measures them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.ecg import LEADS
from models.ecg_net import EcgNet
from train import checkpoint
from train.datasets.ecg import PATIENT_MEASURES, EcgWindows
from train.phantom.parts.base import CohortPlan
from train.phantom.parts.ecg import EcgPart
from train.recipe import Recipe, RecipeError, Stage, load_recipe
from train.tasks.ecg_features import EcgFeaturesNet, EcgFeaturesTask

_PATIENTS, _SEED = 24, 8
_V1, _V5 = LEADS.index("V1"), LEADS.index("V5")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    rendered = [EcgPart().render(k, CohortPlan(_PATIENTS, _SEED)) for k in range(_PATIENTS)]
    for name in ("samples", "measures"):
        arrays = np.concatenate([r.arrays[name] for r in rendered])
        np.save(folder / f"ecg_{name}.npy", arrays)
    (folder / "ecg_index.json").write_text(json.dumps([r.rows[0] for r in rendered]))
    return folder


def _recipe(**changes: object) -> Recipe:
    stage = Stage(size=500, steps=1, batch=2, lr=1e-3)
    return Recipe(task="ecg_features", name="x", version="1", stage=(stage,), **changes)  # type: ignore[arg-type]


def test_what_the_network_sees_in_validation(cohort: Path) -> None:
    data = EcgWindows(cohort, "train")
    batch = data.batch([0, 3], None)
    assert batch["windows"].shape == (2, 12, 1000)
    np.testing.assert_array_equal(batch["windows"][1], data.recording(3)[:, 2000:3000])
    np.testing.assert_array_equal(batch["leads"][0], np.arange(12))
    truth = data.truth(3)
    assert batch["measures"][1, PATIENT_MEASURES.index("strain")] == pytest.approx(truth["strain"])
    voltage = batch["lead_measures"][1, _V5, 0] - batch["lead_measures"][1, _V1, 1]
    assert np.log(voltage) == pytest.approx(batch["measures"][1, 0], abs=0.03)


def test_what_it_sees_in_training(cohort: Path) -> None:
    data = EcgWindows(cohort, "train", leads=4, noise_mv=0.05, size=500)
    batch = data.batch(list(range(len(data))), np.random.default_rng(0))
    assert batch["windows"].shape == (len(data), 4, 500)
    assert batch["lead_measures"].shape == (len(data), 4, 4)
    assert all(len(set(row)) == 4 for row in batch["leads"].tolist())
    telling = np.isin(batch["leads"], [_V1, _V5]).sum(axis=1)
    assert telling.mean() > 1.3  # of 2; a fair draw would give 0.67
    again = data.batch(list(range(len(data))), np.random.default_rng(0))
    np.testing.assert_array_equal(batch["windows"], again["windows"])


def test_a_short_window_holds_a_beat(cohort: Path) -> None:
    data = EcgWindows(cohort, "train", size=500)
    for seed in range(3):
        windows = data.batch([0, 1, 2, 3], np.random.default_rng(seed))["windows"]
        assert (np.ptp(windows[:, _V5], axis=1) > 0.5).all()


def test_tokens_take_the_place_of_windows(cohort: Path) -> None:
    data = EcgWindows(cohort, "train")
    tokens = np.random.default_rng(1).normal(size=(len(data), 2, 12, 256)).astype(np.float16)
    data.remember(tokens)
    batch = data.batch([1], None)
    assert "windows" not in batch
    np.testing.assert_array_equal(batch["tokens"][0], tokens[1, 1].astype(np.float32))


def test_the_loss_falls_and_the_weights_fit_the_network(cohort: Path) -> None:
    torch.manual_seed(0)
    task = EcgFeaturesTask(_recipe(options={"leads": 2}))
    network = task.network(500)
    data = task.data(cohort, "train", 500)
    task.prepare(network, data)
    arrays = data.batch([0, 1], np.random.default_rng(0))
    batch = {k: torch.from_numpy(v) for k, v in arrays.items()}
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        terms = task.loss(network, batch, 0.0)
        assert set(terms) == {"loss", "lead", "patient", "score"}
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < losses[0]
    state, known = network.state_dict(), EcgNet().state_dict()
    assert set(known) < set(state)
    assert all(state[name].shape == value.shape for name, value in known.items())


def test_a_fixed_resnet_is_computed_once_and_stays(cohort: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = EcgFeaturesNet()
    saved = checkpoint.Checkpoint(checkpoint.Progress(), {}, dict(start.state_dict()), {})
    checkpoint.save(tmp_path / "best.safetensors", saved)
    options = {"fixed_resnet": True, "windows": 1}
    recipe = _recipe(start=str(tmp_path / "best.safetensors"), options=options)
    task = EcgFeaturesTask(recipe)
    network = task.network(1000)
    data = task.data(cohort, "val", 1000)
    task.prepare(network, data)
    batch = {k: torch.from_numpy(v) for k, v in data.batch([0], None).items()}
    assert batch["tokens"].shape == (1, 12, 256)
    network.train()
    task.loss(network, batch, 0.0)["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in network.lead.parameters())  # type: ignore[union-attr]
    assert network.head.weight.grad is not None  # type: ignore[union-attr]
    assert not network.lead.training  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["ecg_pretrain", "ecg_gather"])
def test_the_recipes_are_valid(name: str) -> None:
    folder = Path(__file__).parents[3] / "train" / "recipes"
    recipe = load_recipe(folder / f"{name}.toml")
    assert EcgFeaturesTask(recipe).finding == "stenosis_screening"


def test_unknown_options_are_named() -> None:
    with pytest.raises(RecipeError, match=r"options\.lead: not known"):
        EcgFeaturesTask(_recipe(options={"lead": 4}))
