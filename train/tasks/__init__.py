"""The tasks that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable

from train.recipe import Recipe, RecipeError
from train.tasks.aortic_stenosis import AorticStenosisTask
from train.tasks.base import Task
from train.tasks.ecg_features import EcgFeaturesTask
from train.tasks.echo_view import EchoViewTask
from train.tasks.ejection_fraction import EjectionFractionTask
from train.tasks.septal_flash import SeptalFlashTask
from train.tasks.stenosis_screening import StenosisScreeningTask
from train.tasks.valve_calcification import ValveCalcificationTask
from train.tasks.valve_detection import ValveDetectionTask
from train.tasks.xray_features import XrayFeaturesTask

TASKS: dict[str, Callable[[Recipe], Task]] = {
    "aortic_stenosis": AorticStenosisTask,
    "ecg_features": EcgFeaturesTask,
    "echo_view": EchoViewTask,
    "ejection_fraction": EjectionFractionTask,
    "septal_flash": SeptalFlashTask,
    "stenosis_screening": StenosisScreeningTask,
    "valve_calcification": ValveCalcificationTask,
    "valve_detection": ValveDetectionTask,
    "xray_features": XrayFeaturesTask,
}


def task_of(recipe: Recipe) -> Task:
    """Return the task that the recipe names.

    Raises
    ------
    RecipeError
        There is none of that name, or it does not know a key of the recipe.
    """
    if recipe.task not in TASKS:
        raise RecipeError([f"task: {recipe.task} is not one of {', '.join(sorted(TASKS))}"])
    return TASKS[recipe.task](recipe)
