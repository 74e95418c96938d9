"""What is not one of the four views: no contact, lung, liver, vessels, cavities, cut-off hearts."""

from __future__ import annotations

import numpy as np

from train.phantom.heart_cycle import Cycle
from train.phantom.patient import Patient
from train.phantom.shapes import Levels, Scene, Shape, arc, ellipse, still
from train.phantom.views.apical import ApicalView


class StillLife:
    """Shapes that hardly move: everything but a heart.

    Parameters
    ----------
    background_db
        Level between the shapes.
    shapes
        From back to front.
    pulse_cm
        How far the whole scene bobs with the heart beat.
    """

    def __init__(self, background_db: float, shapes: tuple[Shape, ...], pulse_cm: float) -> None:
        self.background_db, self.shapes, self.pulse_cm = background_db, shapes, pulse_cm

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        offset = np.array([0.0, self.pulse_cm * float(cycle.contraction[frame])])
        moved = tuple(
            Shape(s.points + offset, s.level_db, s.width_cm, s.blood) for s in self.shapes
        )
        return Scene(self.background_db, moved, lambda points: still(points - offset))


class CutOffHeart:
    """An apical view so far off axis or so magnified that the chambers can't be told."""

    def __init__(self, inner: ApicalView, offset_cm: np.ndarray) -> None:
        inner.apex = inner.apex + offset_cm
        self.inner = inner

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        return self.inner.scene(cycle, frame)


def draw_other(
    patient: Patient, levels: Levels, rng: np.random.Generator
) -> StillLife | CutOffHeart:
    """Draw one of the things that a probe sees when it does not see a standard view."""
    kind = rng.choice(
        ["air", "lung", "liver", "cavities", "layers", "off_axis"],
        p=[0.16, 0.14, 0.2, 0.26, 0.12, 0.12],
    )
    pulse = float(rng.uniform(0.0, 0.25))
    if kind == "air":
        bands = _arcs(
            rng, rng.uniform(0.1, 0.5), int(rng.integers(2, 8)), levels.pericardium, fading=4.0
        )
        return StillLife(rng.uniform(-75.0, -48.0), bands, 0.0)
    if kind == "lung":
        spacing = rng.uniform(1.2, 2.6)
        return StillLife(
            levels.background - 4, _arcs(rng, spacing, 8, levels.pericardium, fading=3.5), pulse
        )
    if kind == "liver":
        return StillLife(
            levels.myocardium, _vessels(rng, levels, int(rng.integers(2, 9)), 0.15, 0.9), pulse
        )
    if kind == "layers":
        bands = _arcs(
            rng, rng.uniform(0.3, 0.9), int(rng.integers(6, 20)), levels.valve, fading=0.6
        )
        return StillLife(levels.myocardium - 4, bands, pulse)
    if kind == "off_axis":
        side = rng.choice([-1.0, 1.0])
        offset = np.array([side * rng.uniform(4.5, 7.0), rng.uniform(-4.0, 3.0)])
        return CutOffHeart(ApicalView(patient, 2, levels, rng), offset)
    return StillLife(
        levels.background, _vessels(rng, levels, int(rng.integers(1, 5)), 0.8, 3.6), pulse
    )


def _arcs(
    rng: np.random.Generator, spacing_cm: float, count: int, level_db: float, fading: float
) -> tuple[Shape, ...]:
    """Bright arcs at equal distances below each other: reverberation, pleura, layers of muscle."""
    curve = rng.uniform(3.0, 30.0)
    return tuple(
        Shape(
            arc((0.0, -curve + spacing_cm * k + 0.2), curve, np.pi * 0.02, np.pi * 0.98, 60),
            level_db - fading * k,
            rng.uniform(0.08, 0.3),
        )
        for k in range(1, count + 1)
    )


def _vessels(
    rng: np.random.Generator, levels: Levels, count: int, least_cm: float, most_cm: float
) -> tuple[Shape, ...]:
    """Dark ellipses, some with bright walls, anywhere in the sector."""
    shapes: list[Shape] = []
    for _ in range(count):
        depth = rng.uniform(2.0, 14.0)
        centre = (rng.uniform(-0.5, 0.5) * depth, depth)
        radii = (rng.uniform(least_cm, most_cm), rng.uniform(least_cm, most_cm) * 0.7)
        turn = rng.uniform(0.0, np.pi)
        if rng.random() < 0.5:
            shapes.append(
                Shape(ellipse(centre, (radii[0] + 0.2, radii[1] + 0.2), turn), levels.valve)
            )
        shapes.append(Shape(ellipse(centre, radii, turn), levels.blood, blood=True))
    if rng.random() < 0.5:
        shapes.append(
            Shape(arc((0.0, -6.0), rng.uniform(14.0, 20.0), 0.9, 2.2), levels.pericardium, 0.4)
        )
    return tuple(shapes)
