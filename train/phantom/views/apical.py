"""The apical four- and two-chamber views, and the truth borders that belong to them."""

from __future__ import annotations

import numpy as np

from train.phantom.heart_cycle import Cycle
from train.phantom.patient import Patient, outline
from train.phantom.shapes import Levels, Material, Scene, Shape, ellipse, rotate

CHORDS = 20
#: The septum's points, from the base to the apex, as positions from apex (0) to mitral plane (1).
SEPTUM_POINTS, _SEPTUM_SPAN = 62, (0.9, 0.1)
#: Middle and width (a Gaussian's) of the part of the septum that a septal flash moves.
_FLASH_MIDDLE, _FLASH_WIDTH = 0.74, 0.22
#: How far beside the septum's middle tissue moves along with it, cm.
_FLASH_REACH_CM = 1.4


class ApicalView:
    """A patient's heart seen from the apex.

    Parameters
    ----------
    patient
        Whose heart.
    chambers
        4 (right heart, septum) or 2.
    levels
        Echo levels.
    rng
        Draws how the probe is held: depth of the apex, tilt, lateral shift.
    """

    def __init__(
        self, patient: Patient, chambers: int, levels: Levels, rng: np.random.Generator
    ) -> None:
        self.patient = patient
        self.chambers = chambers
        self.levels = levels
        self.tilt_rad = np.deg2rad(rng.uniform(-16.0, 14.0))
        self.apex = np.array(
            [
                rng.uniform(-0.5, 1.2) if chambers == 4 else rng.uniform(-0.8, 0.8),
                rng.uniform(1.2, 3.0),
            ]
        )
        self.width_cm = patient.width_cm if chambers == 4 else patient.width_a2c_cm
        self.mitral_tilt = np.tan(np.deg2rad(patient.mitral_tilt_deg)) * (
            1 if chambers == 4 else 0.4
        )
        self.wobble = rng.uniform(0.85, 1.15, size=4)
        self.background_db = levels.background
        self.pericardium_width = rng.uniform(0.15, 0.4)
        self.septum_db = levels.myocardium + rng.uniform(-2.0, 9.0)
        self.lateral_db = levels.myocardium + rng.uniform(-6.0, 2.0)
        # Thin walls along the beam are often not seen at all: the right ventricle's free wall, the
        # atria's, and the fossa ovalis, through which the atria then seem to be one.
        self.free_wall_db = levels.myocardium - _often(rng, 0.6, 20.0)
        self.atrial_db = levels.myocardium - 1.5 - _often(rng, 0.6, 20.0)
        self.atria_joined = bool(rng.random() < 0.35)

    def _place(self, across: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Ventricle coordinates (cm across the axis, cm from the apex) to display cm."""
        return rotate(np.stack([across, along], axis=-1), self.tilt_rad) + self.apex

    def _centre(self, u: np.ndarray) -> np.ndarray:
        return np.asarray(self.patient.bend_cm * 4.0 * u * (1.0 - np.clip(u, 0.0, 1.0)))

    def _wall(self, u: np.ndarray, transverse: float, longitudinal: float) -> np.ndarray:
        """Wall thickness across the axis that keeps the muscle's volume (incompressible)."""
        half = outline(np.clip(u, 0.0, 1.0), self.patient.elliptic_share, self.patient.base_taper)
        r0 = half * self.width_cm / 2
        h0 = self.patient.wall_cm
        r = r0 * transverse
        return np.asarray(np.sqrt(r**2 + (h0**2 + 2 * r0 * h0) / longitudinal) - r)

    def border(
        self,
        u: np.ndarray,
        contraction: float,
        side: int,
        grow_cm: float = 0.0,
        flash_cm: float = 0.0,
    ) -> np.ndarray:
        """Points of the endocardial border.

        Parameters
        ----------
        u
            Position from apex (0) to mitral plane (1), ``(N,)``.
        contraction
            0 to 1.
        side
            -1 left of the axis on the display (septal in A4C), +1 right.
        grow_cm
            Outward offset.
        flash_cm
            Displacement of the mid-basal septum towards the ventricle.

        Returns
        -------
        ``(N, 2)`` display cm.
        """
        transverse, longitudinal = (float(v) for v in self.patient.scales(np.asarray(contraction)))
        half = outline(u, self.patient.elliptic_share, self.patient.base_taper)
        across = half * self.width_cm / 2 * transverse + grow_cm
        if side < 0 and self.chambers == 4:
            across = across - self.patient.septal_bulge_cm * np.exp(-(((u - 0.75) / 0.15) ** 2))
            across = across - flash_cm * _flash_share(u)
        along = u * self.patient.length_cm * longitudinal
        tilt = side * across * self.mitral_tilt * u**4
        return self._place(self._centre(u) + side * across, along - tilt)

    def chords(self, contraction: float) -> np.ndarray:
        """Truth as EchoNet-Dynamic traces it: ``(20, 4)`` x1, y1, x2, y2, cm, apex first."""
        u = (np.arange(CHORDS) + 0.5) / CHORDS
        left, right = self.border(u, contraction, -1), self.border(u, contraction, 1)
        return np.concatenate([left, right], axis=1)

    def septum(self) -> np.ndarray:
        """Mid-myocardial points of the septum at end-diastole, ``(62, 2)`` cm, base first."""
        u = np.linspace(*_SEPTUM_SPAN, SEPTUM_POINTS)
        return self._outer(u, 0.5 * self._wall(u, 1.0, 1.0), 0.0, -1)

    def flash_cm(self, cycle: Cycle, frame: int) -> float:
        """Displacement of the mid-basal septum towards the left ventricle at one frame."""
        if self.chambers != 4:
            return 0.0
        # the flash begins with the Q wave, a little before the R peak that times are counted from
        times = np.array([cycle.ms_since_r[frame], -cycle.ms_to_r[frame]])
        return float(self.patient.conduction.septal_offset_cm(times).sum())

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        contraction = float(cycle.contraction[frame])
        transverse, longitudinal = (float(v) for v in self.patient.scales(np.asarray(contraction)))
        length = self.patient.length_cm * longitudinal
        u = np.linspace(0.0, 1.0, 28)
        wall = self._wall(u, transverse, longitudinal)
        apex_wall = 0.8 * self.patient.wall_cm
        epi_u = np.concatenate([[-apex_wall / length], u])
        epi_wall = np.concatenate([[0.25 * wall[1]], wall])
        flash = self.flash_cm(cycle, frame)
        left_epi = self._outer(epi_u, epi_wall, contraction, -1, flash)
        right_epi = self._outer(epi_u, epi_wall, contraction, 1)
        left = self.border(u, contraction, -1, flash_cm=flash)
        right = self.border(u, contraction, 1)
        level = self.levels
        middle = 0.5 * (left + right)
        shapes = [
            Shape(
                np.concatenate([right_epi, right_epi[::-1] + np.array([0.25, 0.1])]),
                level.pericardium - 6,
                self.pericardium_width,
            )
        ]
        if self.chambers == 4:
            # the right ventricle's free wall keeps out of a flash
            still = self._outer(epi_u, epi_wall, contraction, -1)
            opening = float(cycle.mitral_opening[frame])
            shapes += self._right_heart(left_epi, still, contraction, opening)
        shapes += self._atrium(left[-1], right[-1], contraction)
        if self.chambers == 4 and self.atria_joined:
            shapes.append(self._fossa(left[-1]))
        shapes += [
            Shape(np.concatenate([left_epi, middle[::-1]]), self.septum_db),
            Shape(np.concatenate([middle, right_epi[::-1]]), self.lateral_db),
            Shape(np.concatenate([left, right[::-1]]), level.blood, blood=True),
        ]
        shapes += self._mitral(left[-1], right[-1], float(cycle.mitral_opening[frame]), 0.62)
        material = self._material(transverse, longitudinal, flash)
        return Scene(self.background_db, tuple(shapes), material)

    def _outer(
        self,
        u: np.ndarray,
        wall: np.ndarray,
        contraction: float,
        side: int,
        flash_cm: float = 0.0,
    ) -> np.ndarray:
        inside = self.border(np.clip(u, 0.0, 1.0), contraction, side, flash_cm=flash_cm)
        direction = rotate(np.array([float(side), 0.0]), self.tilt_rad)
        axis = rotate(np.array([0.0, 1.0]), self.tilt_rad)
        back = np.minimum(u, 0.0)[:, None] * self.patient.length_cm * axis
        return inside + direction * wall[:, None] + back

    def _right_heart(
        self, septum: np.ndarray, still: np.ndarray, contraction: float, opening: float
    ) -> list[Shape]:
        """Draw the right ventricle between the septum's right side and a free wall.

        Parameters
        ----------
        septum, still
            The septum's right side as it is, and as it were without a flash.
        """
        level, width = self.levels, self.patient.rv_width_cm * (1.0 - 0.25 * contraction)
        start = 6
        inner = septum[start:]
        along = np.linspace(0.0, 1.0, len(inner))
        left = rotate(np.array([-1.0, 0.0]), self.tilt_rad)
        bulge = width * np.sin(np.pi * (0.12 + 0.62 * along) ** 1.15) * self.wobble[0]
        bulge[0] = 0.15
        outer = still[start:] + left * bulge[:, None]
        free = outer + left * 0.45
        tricuspid = outer[-1]
        size = self.patient.atrium_cm * 0.47 * self.wobble[1] * (1.0 + 0.12 * contraction)
        down = rotate(np.array([0.0, 1.0]), self.tilt_rad)
        centre = 0.5 * (inner[-1] + tricuspid) + down * size * 1.02
        shapes = [
            Shape(np.concatenate([inner, free[::-1]]), self.free_wall_db),
            Shape(
                ellipse(tuple(centre), (size * 0.98, size * 1.2), self.tilt_rad),
                self.atrial_db,
            ),
            Shape(
                ellipse(tuple(centre), (size * 0.86, size * 1.08), self.tilt_rad),
                level.blood,
                blood=True,
            ),
            Shape(np.concatenate([inner, outer[::-1]]), level.blood, blood=True),
        ]
        shapes += self._mitral(tricuspid, inner[-1], opening, 0.6)
        return shapes

    def _atrium(self, left: np.ndarray, right: np.ndarray, contraction: float) -> list[Shape]:
        level = self.levels
        size = self.patient.atrium_cm * 0.5 * self.wobble[2] * (1.0 + 0.18 * contraction)
        across = 0.55 * float(np.linalg.norm(right - left))
        down = rotate(np.array([0.0, 1.0]), self.tilt_rad)
        centre = 0.5 * (left + right) + down * size * 0.92
        far = centre + down * size * 1.15
        side = rotate(np.array([1.0, 0.0]), self.tilt_rad)
        wall = np.linspace(-1.0, 1.0, 14)[:, None]
        roof = far + side * wall * across * 1.7 - down * (wall**2) * 0.8
        return [
            Shape(
                ellipse(tuple(centre), (across + 0.3, size * 1.15), self.tilt_rad),
                self.atrial_db,
            ),
            Shape(
                ellipse(tuple(centre), (across * 0.98, size * 1.02), self.tilt_rad),
                level.blood,
                blood=True,
            ),
            Shape(roof, level.pericardium - 3, 0.35 * self.wobble[3]),
        ]

    def _fossa(self, crux: np.ndarray) -> Shape:
        """Blood where the septum between the atria is too thin to be seen."""
        at = crux + rotate(np.array([-0.2, 0.42 * self.patient.atrium_cm]), self.tilt_rad)
        return Shape(ellipse(tuple(at), (1.3, 1.1), self.tilt_rad), self.levels.blood, blood=True)

    def _mitral(
        self, left: np.ndarray, right: np.ndarray, opening: float, reach: float
    ) -> list[Shape]:
        """Draw two leaflets hinged at the annulus: meeting when closed, apart when open."""
        across = right - left
        up = np.array([across[1], -across[0]]) / max(float(np.linalg.norm(across)), 1e-6)
        length = reach * float(np.linalg.norm(across))
        shapes = []
        for hinge, towards in ((left, across), (right, -across)):
            direction = towards / max(float(np.linalg.norm(towards)), 1e-6)
            angle = np.deg2rad(8.0 + 62.0 * opening)
            tip = hinge + length * 0.82 * (np.cos(angle) * direction + np.sin(angle) * up)
            middle = hinge + 0.5 * (tip - hinge) + 0.12 * length * up
            shapes.append(Shape(np.stack([hinge, middle, tip]), self.levels.valve, 0.16))
            shapes.append(Shape(ellipse(tuple(hinge), (0.28, 0.24)), self.levels.valve + 2))
        return shapes

    def _material(self, transverse: float, longitudinal: float, flash_cm: float) -> Material:
        """Map to where tissue was at end-diastole: the wall moves with the cavity."""
        radius = self.width_cm / 2
        shift = radius * (1.0 - transverse)
        septum = -radius * transverse - 0.5 * self.patient.wall_cm + flash_cm

        def back(points: np.ndarray) -> np.ndarray:
            local = rotate(points - self.apex, -self.tilt_rad)
            across, along = local[..., 0], local[..., 1]
            if flash_cm != 0.0:
                near = np.exp(-(((across - septum) / _FLASH_REACH_CM) ** 2))
                height = _flash_share(along / (self.patient.length_cm * longitudinal))
                across = across - flash_cm * height * near
            beyond = np.clip(np.abs(across) - radius * transverse, 0.0, None)
            fade = np.exp(-((beyond / 1.8) ** 2))
            across_ed = across + np.sign(across) * shift * fade * np.clip(
                np.abs(across) / (radius * transverse), 0, 1
            )
            depth_fade = np.exp(-((np.clip(along - self.patient.length_cm, 0.0, None) / 4.0) ** 2))
            along_ed = along * (1.0 + (1.0 / longitudinal - 1.0) * fade * depth_fade)
            return rotate(np.stack([across_ed, along_ed], axis=-1), self.tilt_rad) + self.apex

        return back


def _flash_share(u: np.ndarray) -> np.ndarray:
    """How much of a flash the septum takes part in at a position from apex (0) to base (1)."""
    return np.asarray(np.exp(-(((u - _FLASH_MIDDLE) / _FLASH_WIDTH) ** 2)))


def _often(rng: np.random.Generator, share: float, most_db: float) -> float:
    """A loss that some patients have: 0 in the others."""
    return float(rng.uniform(0.0, most_db)) if rng.random() < share else 0.0
