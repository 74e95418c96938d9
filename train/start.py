"""What a training began with, when that was weights that already had a training behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.cards import BadWeightsError
from models.weights import load_network
from train.recipe import Recipe
from train.tasks import task_of

_NOTE = "start.txt"


class StartError(ValueError):
    """A training can't begin with these weights."""


@dataclass(frozen=True, slots=True)
class Start:
    """Weights, and a line on where they are from, for the card of what comes out."""

    weights: dict[str, Tensor]
    origin: str


def shipped(name: str, recipe: Recipe) -> Start:
    """Read weights of ``models/weights`` that a recipe is to train further.

    Raises
    ------
    StartError
        There are none of that name, or they are of another network than the recipe's.
    """
    try:
        network, card = load_network(name)
    except BadWeightsError as error:
        raise StartError(str(error)) from error
    wanted = type(task_of(recipe).network(recipe.stage[0].size)).__name__
    if card.network != wanted:
        raise StartError(f"{name} is a {card.network}; {recipe.name} trains a {wanted}")
    origin = f"began with {name} {card.version} ({card.sha256[:12]}): {card.training_data}"
    return Start(network.state_dict(), origin)


def note(folder: Path, start: Start) -> None:
    """Leave the origin beside a training's checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _NOTE).write_text(start.origin, encoding="utf-8")


def noted(folder: Path) -> str:
    """What :func:`note` left, or nothing."""
    path = folder / _NOTE
    return path.read_text(encoding="utf-8") if path.exists() else ""
