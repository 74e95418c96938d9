"""How views describe anatomy: outlines with an echo level, and how tissue moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Shape:
    """One structure in one frame.

    Attributes
    ----------
    points
        (lateral, depth) in cm, ``(N, 2)``; lateral grows to the right of the display.
    level_db
        Echo level relative to a strong reflector.
    width_cm
        Thickness when it is a line; 0 for a filled outline.
    blood
        Whether its scatterers are exchanged from frame to frame.
    shadow_db
        Loss of everything behind it along the beam, as behind calcium; 0 for none.
    """

    points: np.ndarray
    level_db: float
    width_cm: float = 0.0
    blood: bool = False
    shadow_db: float = 0.0


#: Maps display points (..., 2) in cm of one frame to where that tissue was at end-diastole.
Material = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Scene:
    """What one frame shows: shapes from back to front, and how the tissue has moved."""

    background_db: float
    shapes: tuple[Shape, ...]
    material: Material


@dataclass(frozen=True, slots=True)
class Levels:
    """Echo levels of the tissues of one patient on one machine, dB."""

    background: float
    myocardium: float
    blood: float
    pericardium: float
    valve: float

    @property
    def fat(self) -> float:
        """Tissue around the heart."""
        return 0.5 * (self.background + self.myocardium)


def draw_levels(rng: np.random.Generator) -> Levels:
    """Draw echo levels; the ranges are those that transferred best to real frames in our study."""
    myocardium = rng.uniform(-26.0, -13.0)
    return Levels(
        background=rng.uniform(-36.0, -12.0),
        myocardium=myocardium,
        blood=min(rng.uniform(-65.0, -40.0), myocardium - 18.0),
        pericardium=rng.uniform(-9.0, 5.0),
        valve=rng.uniform(-17.0, -4.0),
    )


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], turn_rad: float = 0.0, points: int = 40
) -> np.ndarray:
    """A closed ellipse, ``(points, 2)`` in cm."""
    angle = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    local = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    return rotate(local, turn_rad) + np.asarray(centre)


def rotate(points: np.ndarray, angle_rad: float) -> np.ndarray:
    """Turn points about the origin; positive from lateral towards depth."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.asarray(points @ np.array([[c, s], [-s, c]]))


def arc(
    centre: tuple[float, float], radius: float, start_rad: float, end_rad: float, points: int = 24
) -> np.ndarray:
    """An open arc, ``(points, 2)`` in cm."""
    angle = np.linspace(start_rad, end_rad, points)
    return np.stack(
        [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1
    )


def still(points: np.ndarray) -> np.ndarray:
    """The material map of tissue that does not move."""
    return points
