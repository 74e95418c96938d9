"""Recipes: everything that decides how a network is trained, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Option = str | bool | int | float
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
_STRICT = ConfigDict(extra="forbid")


class RecipeError(ValueError):
    """The recipe is not valid; `problems` holds one sentence for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, config=_STRICT)
class Stage:
    """A part of the training at one input size.

    Attributes
    ----------
    size, batch, steps
        Side of the input, clips or frames per step (over all devices), steps.
    lr, lr_end
        Learning rate at the beginning and at the end, with a cosine between.
    max_minutes
        The stage ends after this time even if steps are left; 0 for no limit. The learning rate
        follows whichever of the two is nearer to its end.
    """

    size: Positive
    steps: Positive
    batch: Positive
    lr: Annotated[float, Field(gt=0)]
    lr_end: NotNegative = 0.0
    max_minutes: NotNegative = 0.0


@dataclass(frozen=True, config=_STRICT)
class Optimizer:
    """AdamW with warm-up, clipping and averaged weights (`ema_decay` 0 switches them off)."""

    weight_decay: NotNegative = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998


@dataclass(frozen=True, config=_STRICT)
class Augment:
    """Random change of training data; see train.datasets.phantom.Jitter."""

    gain: Share = 0.0
    gamma: Share = 0.0
    shift: Share = 0.0
    scale: Share = 0.0
    rotation_deg: NotNegative = 0.0


@dataclass(frozen=True, config=_STRICT)
class Run:
    """How a run is watched and saved, in steps."""

    log_every: Positive = 10
    validate_every: Positive = 250
    validate_on: Positive = 256
    checkpoint_every: Positive = 100
    compile: bool = False


@dataclass(frozen=True, config=_STRICT)
class Recipe:
    """One training.

    Attributes
    ----------
    task
        What is learnt: a name in train.tasks.TASKS.
    name, version
        Of the weights that come out.
    stage
        Stages in order.
    seed
        Of initial weights, order and jitter.
    loss, options
        Weights of the loss's terms, and choices, that the task knows.
    encoding
        How the weights are written for the node.
    start
        Safetensors of an earlier training to begin with; empty for the task's own beginning.
    """

    task: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    version: str
    stage: Annotated[tuple[Stage, ...], Field(min_length=1)]
    seed: int = 1
    optimizer: Optimizer = field(default_factory=Optimizer)
    loss: dict[str, float] = field(default_factory=dict)
    options: dict[str, Option] = field(default_factory=dict)
    start: str = ""
    encoding: Literal["float16", "int8"] = "float16"
    augment: Augment = field(default_factory=Augment)
    run: Run = field(default_factory=Run)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        With every problem, each with its key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError([f"{path.name}: {error}"]) from error
    try:
        return TypeAdapter(Recipe).validate_python(table)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}"
            for e in error.errors()
            if e["type"] != "too_short" or not table.get("stage")  # else it repeats a bad stage
        ]
        raise RecipeError(problems) from error
