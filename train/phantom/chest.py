"""The simulated chest around the heart, and the person it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Person:
    """Who the patient is; independent of the disease, so that no network can use it."""

    age_years: int
    sex: Literal["M", "F"]
    height_cm: float
    weight_kg: float


@dataclass(frozen=True, slots=True)
class Chest:
    """What a posterior-anterior chest X-ray shows.

    Attributes
    ----------
    cardiothoracic_ratio
        Width of the heart by the inner width of the thorax, 0.38 to 0.6.
    arch_calcium
        0 to 1: calcification of the aortic arch.
    aortic_knob_cm
        Diameter of the aortic knob.
    thorax_width_cm
        Inner width at the diaphragms.
    rotation_deg
        Of the person about the vertical axis.
    """

    cardiothoracic_ratio: float
    arch_calcium: float
    aortic_knob_cm: float
    thorax_width_cm: float
    rotation_deg: float


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    male = bool(rng.random() < 0.5)
    height = rng.normal(176.0 if male else 163.0, 7.0)
    return Person(
        age_years=int(rng.integers(45, 91)),
        sex="M" if male else "F",
        height_cm=float(np.clip(height, 145.0, 200.0)),
        weight_kg=float(np.clip(height**2 * 1e-4 * rng.normal(26.0, 3.5), 42.0, 140.0)),
    )


def draw_chest(heart_z: float, calcium_z: float, rng: np.random.Generator) -> Chest:
    """Draw a chest.

    Parameters
    ----------
    heart_z, calcium_z
        Standardised cardiothoracic ratio and calcification of the arch.
    """
    return Chest(
        cardiothoracic_ratio=float(0.49 + 0.035 * heart_z),
        arch_calcium=float(np.clip((calcium_z + 3.0) / 6.0, 0.0, 1.0)),
        aortic_knob_cm=rng.uniform(2.6, 4.2),
        thorax_width_cm=rng.uniform(24.0, 33.0),
        rotation_deg=float(np.clip(rng.normal(0.0, 3.0), -8.0, 8.0)),
    )
