"""Recipes: what is shipped is valid, and all problems are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.recipe import Recipe, RecipeError, Stage, load_recipe
from train.tasks import task_of

RECIPES = sorted((Path(__file__).parents[3] / "train" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert isinstance(task_of(load_recipe(path)).score, str)


def test_a_task_names_what_it_does_not_know() -> None:
    stage = (Stage(size=64, steps=1, batch=1, lr=0.1),)
    with pytest.raises(RecipeError, match="walk is not one of"):
        task_of(Recipe("walk", "n", "1", stage))
    with pytest.raises(RecipeError, match=r"loss\.borders"):
        task_of(Recipe("ejection_fraction", "n", "1", stage, loss={"borders": 1.0}))


def test_every_problem_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'task = "a walk"\nname = "n"\nversion = "1"\ncolour = 1\n'
        "[[stage]]\nsize = 64\nsteps = -1\nbatch = 4\nlr = 0.1\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    keys = {problem.split(":")[0] for problem in caught.value.problems}
    assert keys == {"task", "colour", "stage.0.steps"}


def test_unreadable_recipes(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("task =")
    for name in ("r.toml", "missing.toml"):
        with pytest.raises(RecipeError, match=name):
            load_recipe(tmp_path / name)
