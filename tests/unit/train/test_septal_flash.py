"""Training and scoring of septal flash, on a few made-up strips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.septal_flash_net import SIZE, SeptalFlashNet
from models.unusual import FeatureStatistics
from train.datasets.septum import SeptumStrips
from train.recipe import RecipeError, load_recipe
from train.splits import SPLITS, split_of
from train.tasks import task_of
from train.tasks.septal_flash import SeptalFlashTask, elsewhere_term

RECIPES = Path(__file__).parents[3] / "train" / "recipes"
PATIENTS = {s: [p for p in range(200) if split_of(p) == s][:4] for s in SPLITS}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients in each part, every other with a flash, two strips each."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    rows = [
        {
            "patient_id": patient, "offset": offset, "has_flash": number % 2 == 0,
            "flash_cm": 0.5 if number % 2 == 0 else 0.0, "cycle_ms": [100.0, 1000.0],
            "line": [0.2, 0.5, 0.7, 0.5], "band": 0.1,
        }
        for ids in PATIENTS.values()
        for number, patient in enumerate(ids)
        for offset in (0, 1)
    ]  # fmt: skip
    (folder / "septum_index.json").write_text(json.dumps(rows))
    for variant in ("cropped", "whole"):
        strips = rng.integers(0, 200, (len(rows), SIZE, SIZE)).astype(np.uint8)
        np.save(folder / f"septum_{variant}.npy", strips)
    return folder


def task(name: str = "septal_flash", **changed: object) -> SeptalFlashTask:
    made = task_of(replace(load_recipe(RECIPES / f"{name}.toml"), **changed))  # type: ignore[arg-type]
    assert isinstance(made, SeptalFlashTask)
    return made


def test_strips_are_read_and_only_training_changes_their_contrast(cohort: Path) -> None:
    data = SeptumStrips(cohort, "train", 128, "cropped")
    assert len(data) == 8
    plain = data.batch([0, 2], None)
    assert plain["strips"].shape == (2, 1, 128, 128)
    assert plain["flash"].tolist() == [1, 0]
    spreads = [
        data.batch([0], np.random.default_rng(k))["strips"].std() / plain["strips"][0].std()
        for k in range(30)
    ]
    assert 0.45 < min(spreads) < 0.7 and 1.3 < max(spreads) < 2.1
    assert len(SeptumStrips(cohort, "val", 128, "whole", offsets=(0,))) == 4


def test_place_of_a_flash_follows_the_variant(cohort: Path) -> None:
    whole, cropped = (
        SeptumStrips(cohort, "train", SIZE, v).place(0).mean() for v in ("whole", "cropped")
    )
    assert whole == pytest.approx(0.2 * 0.2, rel=0.05)  # of the rows, of 900 ms
    assert cropped == pytest.approx(4 * whole, rel=0.05)


def test_preparation_takes_the_mean_image_of_the_training_strips(cohort: Path) -> None:
    made = task()
    network, data = made.network(128), made.data(cohort, "train", 128)
    made.prepare(network, data)
    assert isinstance(network, SeptalFlashNet)
    stack = data.batch(range(len(data)), None)["strips"].astype(np.float64)
    np.testing.assert_allclose(network.mean_image[0, 0].numpy(), stack.mean((0, 1)), atol=1.0)


def test_one_step_lowers_the_loss(cohort: Path) -> None:
    torch.manual_seed(0)
    made = task()
    network, data = made.network(64), made.data(cohort, "train", 64)
    batch = {k: torch.from_numpy(v) for k, v in data.batch(range(8), None).items()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss = made.loss(network, batch, 0.0)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_evidence_elsewhere_costs_its_share(cohort: Path) -> None:
    place = torch.zeros(1, 2, 2)
    place[0, 0] = torch.tensor([1.0, 0.5])
    evidence = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [2.0, 0.0]]]])
    assert elsewhere_term(evidence, place).item() == pytest.approx((0.0 + 0.75) / 2)
    made = task(loss={"place": 2.0})
    network, data = made.network(64), made.data(cohort, "train", 64)
    batch = {k: torch.from_numpy(v) for k, v in data.batch(range(4), None).items()}
    terms = made.loss(network, batch, 0.0)
    both = terms["cross_entropy"] + 2.0 * terms["elsewhere_loss"]
    assert terms["loss"].item() == pytest.approx(both.item())


def test_a_batch_says_where_a_flash_would_be(cohort: Path) -> None:
    data = task().data(cohort, "train", 128)
    batch = data.batch([0, 1], None)
    assert batch["place"].shape == (2, 4, 4)
    for shares, position in zip(batch["place"], (0, 1), strict=True):
        place = data.place(position)
        assert shares.mean() == pytest.approx(place.mean(), abs=1e-6)
        assert shares[1, 2] == pytest.approx(place[32:64, 64:96].mean(), abs=1e-6)


def test_scores_are_per_patient_and_calibrated_on_the_validation_patients(cohort: Path) -> None:
    torch.manual_seed(0)
    report = task().evaluate(SeptalFlashNet().eval(), cohort, "test")
    assert report.metrics["patients"] == 4 and report.metrics["with_flash"] == 2
    assert 0 <= report.metrics["auroc"]["value"] <= 1
    assert set(report.calibration) == {"septal_flash_slope", "septal_flash_intercept"}
    assert "validation" in report.thresholds["septal_flash_probability"]["policy"]
    statistics = FeatureStatistics.from_json(report.feature_statistics)
    assert statistics.percentile(np.full((1, 1024), 100.0)) == [100.0]


def test_card_says_which_variant_ships_and_what_it_costs() -> None:
    made = task()
    facts = made.describe(SeptalFlashNet())
    assert facts.input["variant"] == "cropped"
    assert task("septal_flash_whole").describe(SeptalFlashNet()).input["variant"] == "whole"
    with torch.device("meta"):
        network = SeptalFlashNet().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.empty(1, 1, SIZE, SIZE, device="meta"))
    assert counter.get_total_flops() / 2 == pytest.approx(facts.macs, rel=0.01)


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    text = (RECIPES / "septal_flash.toml").read_text().replace('"cropped"', '"upper"')
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="cropped or whole"):
        task_of(load_recipe(path))
