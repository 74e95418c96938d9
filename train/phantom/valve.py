"""The simulated aortic valve: how far it opens, how thick its leaflets are, where calcium sits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Grade = Literal["none", "mild", "moderate", "severe"]
GRADES: tuple[Grade, ...] = ("none", "mild", "moderate", "severe")

#: Valve area by grade, cm²: the limits of the ASE/EACVI recommendations (2017).
_AREA_CM2: dict[Grade, tuple[float, float]] = {
    "none": (2.2, 4.0),
    "mild": (1.5, 2.0),
    "moderate": (1.0, 1.5),
    "severe": (0.45, 1.0),
}
#: Shares of a cohort, and of calcified valves in each grade; ours, for balanced classes.
_GRADE_SHARES = (0.4, 0.15, 0.2, 0.25)
_CALCIFIED_SHARE: dict[Grade, float] = {
    "none": 0.2,
    "mild": 0.45,
    "moderate": 0.65,
    "severe": 0.85,
}


@dataclass(frozen=True, slots=True)
class Focus:
    """One calcific focus on a leaflet.

    Attributes
    ----------
    leaflet
        0 to 2: right, left, and non-coronary cusp.
    along
        Position from hinge (0) to tip (1).
    radius_cm
        Of the bright spot.
    gain_db, shadow_db
        Above the leaflet's own echo; loss of everything behind it.
    """

    leaflet: int
    along: float
    radius_cm: float
    gain_db: float
    shadow_db: float


@dataclass(frozen=True, slots=True)
class AorticValve:
    """State of the aortic valve.

    Attributes
    ----------
    area_cm2
        Opening area, 0.45 to 4.
    grade
        By the area; "none" is above 2 cm².
    opening_share
        How far the leaflets open, 0.15 to 1 (fully).
    leaflet_cm
        Thickness, 0.1 to 0.42.
    doming
        0 to 1: how much open leaflets bow, their tips held together.
    calcium
        0 to 1; 0 without foci.
    foci
        Where calcium sits.
    """

    area_cm2: float
    grade: Grade
    opening_share: float
    leaflet_cm: float
    doming: float
    calcium: float
    foci: tuple[Focus, ...]

    @property
    def calcified(self) -> bool:
        """Whether there is calcium."""
        return bool(self.foci)


def draw_grade(rng: np.random.Generator) -> Grade:
    """Draw a grade; classes are balanced rather than as frequent as in life."""
    return GRADES[int(rng.choice(len(GRADES), p=_GRADE_SHARES))]


def draw_valve(grade: Grade, rng: np.random.Generator) -> AorticValve:
    """Draw a valve of one grade."""
    area = rng.uniform(*_AREA_CM2[grade])
    opening = float(np.clip(area / 3.2 + rng.normal(0.0, 0.03), 0.15, 1.0))
    foci = _draw_foci(rng) if rng.random() < _CALCIFIED_SHARE[grade] else ()
    load = sum((f.radius_cm / 0.3) ** 2 for f in foci)
    thick = 0.11 + 0.2 * (1.0 - opening) * rng.uniform(0.5, 1.2) + rng.uniform(0.0, 0.07)
    return AorticValve(
        area_cm2=area,
        grade=grade,
        opening_share=opening,
        leaflet_cm=float(np.clip(thick, 0.1, 0.42)),
        doming=float(np.clip((1.0 - opening) * rng.uniform(0.2, 1.1), 0.0, 1.0)),
        calcium=float(np.clip(load / 4.0, 0.02, 1.0)) if foci else 0.0,
        foci=foci,
    )


def _draw_foci(rng: np.random.Generator) -> tuple[Focus, ...]:
    return tuple(
        Focus(
            leaflet=int(rng.integers(3)),
            along=rng.uniform(0.15, 0.95),
            radius_cm=rng.uniform(0.1, 0.3),
            gain_db=rng.uniform(7.0, 15.0),
            shadow_db=rng.uniform(4.0, 18.0),
        )
        for _ in range(int(rng.integers(2, 8)))
    )
