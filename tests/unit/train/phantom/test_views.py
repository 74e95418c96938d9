"""What the views show: sound shapes at every frame, blood within tissue, things that move."""

from __future__ import annotations

import numpy as np
import pytest

from train.phantom.clip import View
from train.phantom.heart_cycle import draw_cycle
from train.phantom.patient import draw_patient
from train.phantom.shapes import Scene, draw_levels
from train.phantom.views.apical import ApicalView
from train.phantom.views.other import draw_other
from train.phantom.views.parasternal import LongAxisView, ShortAxisView

CYCLE = draw_cycle(80, 15.0, 70.0, np.random.default_rng(0))
POINTS = np.stack(np.meshgrid(np.linspace(-8, 8, 30), np.linspace(0.2, 15, 30)), axis=-1)


def _views(seed: int) -> dict[str, View]:
    patient, rng = draw_patient(seed, 1), np.random.default_rng(seed)
    levels = draw_levels(rng)
    return {
        "A4C": ApicalView(patient, 4, levels, rng),
        "A2C": ApicalView(patient, 2, levels, rng),
        "PLAX": LongAxisView(patient, levels, rng),
        "PSAX": ShortAxisView(patient, levels, rng),
        "other": draw_other(patient, levels, rng),
    }


def _area(scene: Scene) -> float:
    """Area of all blood, cm², by the shoelace formula."""
    total = 0.0
    for shape in scene.shapes:
        if shape.blood:
            x, y = shape.points.T
            total += abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    return total


@pytest.mark.parametrize("name", ["A4C", "A2C", "PLAX", "PSAX", "other"])
def test_scenes_are_finite_at_every_frame(name: str) -> None:
    for seed in range(10):
        view = _views(seed)[name]
        for frame in range(0, 80, 7):
            scene = view.scene(CYCLE, frame)
            assert scene.shapes
            for shape in scene.shapes:
                assert shape.points.shape[1] == 2
                assert np.isfinite(shape.points).all()
                assert -80 < shape.level_db < 20
                assert shape.width_cm >= 0
            moved = scene.material(POINTS)
            assert moved.shape == POINTS.shape
            assert np.isfinite(moved).all()
            # Tissue moves by some centimetres, it does not jump.
            assert np.linalg.norm(moved - POINTS, axis=-1).max() < 5


@pytest.mark.parametrize("name", ["A4C", "A2C", "PLAX", "PSAX"])
def test_nothing_has_moved_at_end_diastole(name: str) -> None:
    # An aortic short axis bobs without its material; the others start where they are, but for a
    # septal flash, which has begun before the muscle contracts.
    relaxed = int(CYCLE.contraction.argmin())
    seeds = [seed for seed in range(12) if not draw_patient(seed, 1).conduction.has_flash]
    assert len(seeds) > 5
    for seed in seeds:
        material = _views(seed)[name].scene(CYCLE, relaxed).material
        np.testing.assert_allclose(material(POINTS), POINTS, atol=1e-6)


@pytest.mark.parametrize("name", ["A2C", "PLAX"])
def test_there_is_less_blood_in_systole_than_in_diastole(name: str) -> None:
    relaxed, contracted = int(CYCLE.contraction.argmin()), int(CYCLE.contraction.argmax())
    for seed in range(6):
        view = _views(seed)[name]
        assert _area(view.scene(CYCLE, contracted)) < _area(view.scene(CYCLE, relaxed))


def test_four_chambers_show_more_blood_than_two() -> None:
    for seed in range(6):
        views = _views(seed)
        assert _area(views["A4C"].scene(CYCLE, 0)) > _area(views["A2C"].scene(CYCLE, 0))


def test_short_axes_are_cut_at_three_levels() -> None:
    patient = draw_patient(0, 1)
    planes = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        planes.add(ShortAxisView(patient, draw_levels(rng), rng).plane)
    assert planes == {"papillary", "mitral", "aortic"}


def test_blood_is_darker_than_muscle() -> None:
    for seed in range(50):
        levels = draw_levels(np.random.default_rng(seed))
        assert levels.blood <= levels.myocardium - 18
        assert levels.blood < levels.valve
