"""Electrical conduction of the simulated heart, and the septal flash that goes with its block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Rhythm = Literal["sinus", "atrial_fibrillation"]

_BLOCKED_SHARE = 0.3
_FLASH_SHARE = {True: 0.8, False: 0.25}
_FIBRILLATING_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Conduction:
    """How the ventricles are excited.

    Attributes
    ----------
    rhythm
        ``sinus`` or ``atrial_fibrillation`` (irregular R-R, no P wave).
    lbbb
        Left bundle branch block.
    qrs_ms
        Width of the QRS complex, 70 to 170.
    flash_cm
        Amplitude of the septal flash towards the left ventricle, 0 without one. Blocks without
        flash and flashes without block occur.
    flash_peak_ms, flash_width_ms
        Time of its peak after the R peak, and its full width at half maximum.
    """

    rhythm: Rhythm
    lbbb: bool
    qrs_ms: float
    flash_cm: float
    flash_peak_ms: float
    flash_width_ms: float

    @property
    def has_flash(self) -> bool:
        """Whether there is a septal flash."""
        return self.flash_cm > 0.0

    def septal_offset_cm(self, ms_since_r: np.ndarray) -> np.ndarray:
        """Displacement of the mid-basal septum towards the left ventricle, cm.

        Inward and outward again before the ejection, with a small rebound beyond the start.

        Parameters
        ----------
        ms_since_r
            Time since the last R peak, any shape.
        """
        sd = self.flash_width_ms / 2.355
        inward = np.exp(-0.5 * ((ms_since_r - self.flash_peak_ms) / sd) ** 2)
        rebound = np.exp(-0.5 * ((ms_since_r - self.flash_peak_ms - 2.6 * sd) / (1.2 * sd)) ** 2)
        return np.asarray(self.flash_cm * (inward - 0.3 * rebound))


def draw_conduction(qrs_z: float, rng: np.random.Generator) -> Conduction:
    """Draw the conduction.

    Parameters
    ----------
    qrs_z
        Standardised QRS width without a block; with one, 50 ms are added.
    """
    blocked = bool(rng.random() < _BLOCKED_SHARE)
    flash = bool(rng.random() < _FLASH_SHARE[blocked])
    amplitude = rng.uniform(0.22, 0.65)
    return Conduction(
        rhythm="atrial_fibrillation" if rng.random() < _FIBRILLATING_SHARE else "sinus",
        lbbb=blocked,
        qrs_ms=94.0 + 8.0 * qrs_z + (50.0 if blocked else 0.0),
        flash_cm=amplitude if flash else 0.0,
        flash_peak_ms=rng.uniform(60.0, 110.0),
        flash_width_ms=rng.uniform(45.0, 80.0),
    )
