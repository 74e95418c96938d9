"""Train, be interrupted, resume: the real loop on a tiny cohort."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from rich.console import Console
from typer.testing import CliRunner

from models.weights import load_network
from tests.tiny_cohort import write_tiny_cohort
from train import checkpoint
from train.__main__ import app
from train.loop import BEST, LAST, LOG, Trainer, positions_of_step
from train.recipe import Optimizer, Recipe, Run, Stage
from train.splits import SPLITS, rows_of
from train.start import noted
from train.tasks import task_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:.*pytree.*:FutureWarning"
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_cohort(tmp_path_factory.mktemp("cohort"), patients=24)
    assert all(rows_of(range(24), split) for split in SPLITS)
    return folder


def _recipe(task: str, stages: tuple[Stage, ...]) -> Recipe:
    return Recipe(
        task=task,
        name="tiny",
        version="0",
        stage=stages,
        optimizer=Optimizer(warmup_steps=2, ema_decay=0.5),
        run=Run(log_every=1, validate_every=100, validate_on=4, checkpoint_every=2),
    )


def _trainer(recipe: Recipe, cohort: Path, folder: Path) -> Trainer:
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return Trainer(recipe, cohort, folder, fabric, Console(file=io.StringIO()))


def _rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_views_are_learnt(cohort: Path, tmp_path: Path) -> None:
    recipe = _recipe("echo_view", (Stage(size=32, steps=12, batch=20, lr=3e-3),))
    progress = _trainer(recipe, cohort, tmp_path).fit()
    assert (progress.stage, progress.total_steps) == (1, 12)
    losses = [row["loss"] for row in _rows(tmp_path) if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
    assert checkpoint.load(tmp_path / BEST).progress.best == progress.best


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    cohort: Path, tmp_path: Path
) -> None:
    recipe = _recipe("echo_view", (Stage(size=32, steps=5, batch=10, lr=1e-3),))
    _trainer(recipe, cohort, tmp_path / "whole").fit()
    stopped = _trainer(recipe, cohort, tmp_path / "parts").fit(stop_after=3)
    assert (stopped.stage, stopped.step) == (0, 3)
    resumed = _trainer(recipe, cohort, tmp_path / "parts").fit()
    assert resumed.total_steps == 5
    whole = checkpoint.load(tmp_path / "whole" / LAST)
    parts = checkpoint.load(tmp_path / "parts" / LAST)
    for name, value in whole.averaged.items():
        torch.testing.assert_close(parts.averaged[name], value, rtol=1e-4, atol=1e-5)


def test_stages_grow_the_input_and_a_finished_training_stays(cohort: Path, tmp_path: Path) -> None:
    stages = (
        Stage(size=32, steps=2, batch=2, lr=1e-3),
        Stage(size=48, steps=2, batch=2, lr=1e-3),
    )
    recipe = _recipe("ejection_fraction", stages)
    assert _trainer(recipe, cohort, tmp_path).fit().stage == 2
    before = (tmp_path / LAST).read_bytes()
    assert _trainer(recipe, cohort, tmp_path).fit().total_steps == 4
    assert (tmp_path / LAST).read_bytes() == before
    state = task_of(recipe).resized(checkpoint.load(tmp_path / LAST).averaged, 48)
    task_of(recipe).network(48).load_state_dict(state)


def test_a_time_limit_ends_a_stage(cohort: Path, tmp_path: Path) -> None:
    stage = Stage(size=32, steps=10_000, batch=2, lr=1e-3, max_minutes=0.01)
    progress = _trainer(_recipe("echo_view", (stage,)), cohort, tmp_path).fit()
    assert progress.stage == 1
    assert progress.total_steps < 1000
    assert _rows(tmp_path)[-2]["progress"] > 0.5


def test_epochs_are_permutations() -> None:
    class Ten:
        def __len__(self) -> int:
            return 10

    seen = [p for step in range(5) for p in positions_of_step(Ten(), 4, step, (1, 0))]  # type: ignore[arg-type]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


@pytest.mark.parametrize("task", ["ejection_fraction", "echo_view"])
def test_command_line_from_recipe_to_weights(cohort: Path, tmp_path: Path, task: str) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'task = "{task}"\nname = "tiny"\nversion = "0.1"\n[run]\nvalidate_on = 4\n'
        "[[stage]]\nsize = 112\nsteps = 1\nbatch = 2\nlr = 1e-4\n"
    )
    common = [str(path), "--cohort", str(cohort)]
    run, weights = str(tmp_path / "run"), str(tmp_path / "weights")
    runner = CliRunner()
    fit = ["fit", *common, "--out", run, "--precision", "32-true", "--accelerator", "cpu"]
    assert runner.invoke(app, fit, catch_exceptions=False).exit_code == 0
    evaluate = ["evaluate", *common, "--run", run, "--export", "--weights", weights]
    result = runner.invoke(app, evaluate, catch_exceptions=False)
    assert result.exit_code == 0
    _, card = load_network("tiny", Path(weights))
    assert card.finding == task
    assert card.metrics["patients"] == len(rows_of(range(24), "test"))
    assert all("policy" in threshold for threshold in card.thresholds.values())


def test_shipped_weights_are_trained_further(cohort: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'task = "echo_view"\nname = "mine"\nversion = "0.1"\n[run]\nvalidate_on = 4\n'
        "[optimizer]\nema_decay = 0.0\n"
        "[[stage]]\nsize = 112\nsteps = 1\nbatch = 2\nlr = 1e-9\n"
    )
    fit = ["fit", str(path), "--cohort", str(cohort), "--out", str(tmp_path / "run")]
    fit += ["--precision", "32-true", "--accelerator", "cpu", "--from"]
    result = CliRunner().invoke(app, [*fit, "view_net"], catch_exceptions=False)
    assert result.exit_code == 0
    shipped = load_network("view_net")[0].state_dict()
    trained = checkpoint.load(tmp_path / "run" / BEST).averaged
    learnt = [name for name in shipped if name.endswith("weight")]
    for name in learnt:  # one step with next to no learning rate
        torch.testing.assert_close(trained[name], shipped[name], atol=1e-6, rtol=0)
    assert noted(tmp_path / "run").startswith("began with view_net 1.0")
    for name, problem in (("echo_e3net", "is a EchoE3Net"), ("no_net", "no_net")):
        refused = CliRunner().invoke(app, [*fit, name])
        assert refused.exit_code == 2
        assert problem in refused.stderr


def test_a_bad_recipe_is_refused(cohort: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('task = "a walk"\n')
    arguments = ["fit", str(path), "--cohort", str(cohort), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "task" in result.stderr
