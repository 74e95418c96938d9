"""The muscle's hypertrophy as the ECG and the echo see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Muscle:
    """Hypertrophy of the left ventricle.

    Attributes
    ----------
    voltage_mv
        Sokolow-Lyon sum of S in V1 and R in V5, about 1.1 to 6.
    strain
        0 to 1: lateral ST depression and T inversion.
    hypertrophy_cm
        Added to the wall's thickness, 0 to 0.5.
    """

    voltage_mv: float
    strain: float
    hypertrophy_cm: float


def muscle_of(voltage_z: float, strain_z: float, rng: np.random.Generator) -> Muscle:
    """Make the muscle of standardised voltage and strain."""
    thickening = 0.14 * (voltage_z + 0.6) + rng.normal(0.0, 0.06)
    return Muscle(
        voltage_mv=float(2.6 * np.exp(0.28 * voltage_z)),
        strain=float(np.clip((strain_z + 3.0) / 6.0, 0.0, 1.0)),
        hypertrophy_cm=float(np.clip(thickening, 0.0, 0.5)),
    )
