"""The thorax of one simulated person, in cm: where everything is, before it is projected.

x points to the person's left, which is the right side of a PA film, z downwards from the top of
the right diaphragm, y forward from the middle of the chest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.phantom.patient import Patient


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A solid: centre (x, y, z) and semi-axes in cm, turned by `tilt_deg` in the frontal plane.

    `tilt_deg` turns the first axis from +x towards +z (downwards).
    """

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    tilt_deg: float = 0.0

    def covariance(self) -> npt.NDArray[np.float64]:
        """The 3x3 matrix C with ``r' C^-1 r = 1`` on the surface, in (x, y, z)."""
        turn = np.radians(self.tilt_deg)
        rotation = np.array(
            [
                [np.cos(turn), 0.0, -np.sin(turn)],
                [0.0, 1.0, 0.0],
                [np.sin(turn), 0.0, np.cos(turn)],
            ]
        )
        return np.asarray(rotation @ np.diag(np.square(self.axes)) @ rotation.T)


@dataclass(frozen=True, slots=True)
class Thorax:
    """One person's chest.

    Attributes
    ----------
    half_width, half_depth, height
        Of the cavity: inner half width at the diaphragms, half depth, height above them.
    shape
        Exponents of the cavity's outline from base to apex.
    dome_left, dome_drop
        How far the left diaphragm's top lies below the right one's; how far both fall to the wall.
    heart, vessels
        Solids of soft tissue: chambers; great vessels and mediastinum.
    knob
        Centre (x, y, z) of the aortic knob; its radius.
    fat
        Thickness of the chest wall, cm.
    breast
        Thickness of the breasts, 0 for none.
    rib_slope
        How far a rib falls from the spine to the side, cm.
    """

    half_width: float
    half_depth: float
    height: float
    shape: tuple[float, float]
    dome_left: float
    dome_drop: float
    heart: tuple[Ellipsoid, ...]
    vessels: tuple[Ellipsoid, ...]
    knob: tuple[float, float, float]
    knob_radius: float
    fat: float
    breast: float
    rib_slope: float

    def outline(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Half width of the cavity relative to its base, 1 at the diaphragms to 0 at the apex."""
        t = np.clip(-z / self.height, 0.0, 1.0)
        p, q = self.shape
        return np.asarray((1.0 - t**p) ** (1.0 / q))

    def dome(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Height z of the diaphragm at x."""
        centre = 0.46 * self.half_width
        offset = (np.abs(x) - centre) / (0.56 * self.half_width)
        return np.asarray(np.where(x > 0, self.dome_left, 0.0) + self.dome_drop * offset**2)


def draw_thorax(patient: Patient, rng: np.random.Generator) -> Thorax:
    """Build the chest of a patient; what the patient does not determine is drawn."""
    chest, person = patient.chest, patient.person
    half = chest.thorax_width_cm / 2
    height = 2 * half * rng.uniform(0.72, 0.95)
    dome_left = rng.uniform(0.3, 2.0)
    heart = _heart(2 * half * chest.cardiothoracic_ratio, dome_left, rng)
    radius = chest.aortic_knob_cm / 2
    knob = (rng.uniform(2.2, 2.8), -1.0, -height * rng.uniform(0.66, 0.73))
    bmi = person.weight_kg / (person.height_cm / 100) ** 2
    return Thorax(
        half_width=half,
        half_depth=half * rng.uniform(0.62, 0.76),
        height=height,
        shape=(rng.uniform(2.7, 3.9), rng.uniform(1.8, 2.3)),
        dome_left=dome_left,
        dome_drop=rng.uniform(2.5, 4.5),
        heart=heart,
        vessels=_vessels(knob, radius, height, heart, rng),
        knob=knob,
        knob_radius=radius,
        fat=float(np.clip(1.0 + 0.16 * (bmi - 20) + rng.normal(0, 0.3), 0.8, 6.0)),
        breast=rng.uniform(0.8, 3.6) if person.sex == "F" else 0.0,
        rib_slope=rng.uniform(1.5, 4.5),
    )


def _heart(width: float, dome_left: float, rng: np.random.Generator) -> tuple[Ellipsoid, ...]:
    """Left ventricle and right atrium whose outer borders are exactly `width` apart."""
    right = width * rng.uniform(0.28, 0.38)
    left = width - right
    tilt = rng.uniform(28.0, 48.0)
    long, short = 1.0, rng.uniform(0.62, 0.75)
    turn = np.radians(tilt)
    extent = np.hypot(long * np.cos(turn), short * np.sin(turn))
    scale = 0.68 * left / extent
    long, short = long * scale, short * scale
    # Where the left border is: its height must be above the left diaphragm to be seen.
    border = (long**2 - short**2) * np.cos(turn) * np.sin(turn) / (0.68 * left)
    ventricle_z = dome_left - rng.uniform(0.8, 2.5) - border
    atrium = rng.uniform(0.55, 0.7) * right + 1.2
    depth = 0.46 * width
    return (
        Ellipsoid((0.32 * left, 3.0, ventricle_z), (long, depth, short), tilt),
        Ellipsoid((-right + atrium, 2.0, rng.uniform(-4.6, -3.2)), (atrium, depth, 4.4)),
    )


def _vessels(
    knob: tuple[float, float, float],
    radius: float,
    height: float,
    heart: tuple[Ellipsoid, ...],
    rng: np.random.Generator,
) -> tuple[Ellipsoid, ...]:
    """Mediastinum, aorta with its knob, pulmonary trunk, superior vena cava."""
    top = heart[0].centre[2]
    column = rng.uniform(2.5, 3.3)
    arch = -knob[2]
    return (
        Ellipsoid((0.2, -1.0, 0.0), (column, 8.5, 1.6 * height)),
        Ellipsoid((0.2, 0.0, 2.5), (5.5, 9.0, 4.5)),
        Ellipsoid(knob, (radius, radius + 1.8, radius)),
        Ellipsoid((rng.uniform(1.5, 2.1), -5.0, 0.0), (1.4, 1.4, arch)),
        Ellipsoid((rng.uniform(2.2, 3.0), 2.5, top - rng.uniform(4.2, 5.2)), (2.2, 4.5, 3.2), 60.0),
        Ellipsoid((-rng.uniform(1.5, 2.1), 0.5, -0.62 * height), (1.3, 1.4, 0.3 * height)),
    )
