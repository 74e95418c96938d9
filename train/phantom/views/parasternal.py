"""The parasternal long- and short-axis views."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from train.phantom.heart_cycle import Cycle
from train.phantom.patient import Patient, outline
from train.phantom.shapes import Levels, Material, Scene, Shape, arc, ellipse, rotate
from train.phantom.views.aortic_valve_long import LongAxisValve
from train.phantom.views.aortic_valve_short import ShortAxisValve

#: Levels of a short-axis cut, from apex to base.
Plane = Literal["papillary", "mitral", "aortic"]
PLANES: tuple[Plane, ...] = get_args(Plane)
#: In the long axis, the middle of the cusps downstream of the valve's origin, and how far the true
#: box reaches beyond the root's wall, cm.
_CUSP_MIDDLE_CM, _BEYOND_ROOT_CM = 0.3, 0.35


def _radial_material(centre: np.ndarray, radius: float, scale: float) -> Material:
    """Tissue around a contracting circle: moved by the wall's shift, fading outwards."""

    def back(points: np.ndarray) -> np.ndarray:
        away = points - centre
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        fade = np.exp(-((np.clip(distance - radius * scale, 0.0, None) / 1.8) ** 2))
        shift = radius * (1.0 - scale) * fade * np.clip(distance / (radius * scale), 0.0, 1.0)
        return np.asarray(points + away / np.maximum(distance, 1e-3) * shift)

    return back


class LongAxisView:
    """PLAX: right ventricle above, left ventricle to the left, aorta and left atrium to the right.

    Parameters
    ----------
    patient
        Whose heart.
    levels
        Echo levels.
    rng
        Draws depth, tilt and what of the apex is cut off.
    """

    def __init__(self, patient: Patient, levels: Levels, rng: np.random.Generator) -> None:
        self.patient, self.levels = patient, levels
        self.tilt_rad = np.deg2rad(rng.uniform(-24.0, 8.0))
        self.base = np.array([rng.uniform(-0.4, 1.4), rng.uniform(5.2, 7.6)])
        self.aorta_cm = rng.uniform(2.4, 3.8)
        self.aorta_rad = np.deg2rad(rng.uniform(-22.0, 4.0))
        self.rv_cm = rng.uniform(1.3, 2.8)
        self.chest_cm = rng.uniform(1.2, 2.2)
        self.atrium_cm = patient.atrium_cm * rng.uniform(0.8, 1.05)
        self.descending = rng.random() < 0.7
        self.pericardium_cm = rng.uniform(0.2, 0.45)
        # a stream of its own: what the valve draws changes nothing else
        self.valve = LongAxisValve(patient.valve, levels, rng.spawn(1)[0])

    def _place(self, along: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Map cm towards the apex (left) and towards the probe, from the base, to display cm."""
        return rotate(np.stack([-along, -up], axis=-1), self.tilt_rad) + self.base

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        patient, level = self.patient, self.levels
        contraction = float(cycle.contraction[frame])
        transverse, longitudinal = (float(v) for v in patient.scales(np.asarray(contraction)))
        u = np.linspace(1.0, 0.0, 24)
        along = (1.0 - u) * patient.length_cm * longitudinal
        half = (
            outline(u, patient.elliptic_share, patient.base_taper)
            * patient.width_cm
            / 2
            * transverse
        )
        wall = patient.wall_cm * (1.0 + 0.5 * patient.ejection_fraction * contraction)
        septum_low = self._place(along, half)
        septum_high = self._place(along, half + wall)
        inferior = self._place(along, -half)
        outside = self._place(along, -half - wall)
        rv_top = self._place(along, half + wall + self.rv_cm * (1.0 - 0.15 * contraction))
        rv_free = self._place(along, half + wall + self.rv_cm + 0.4)
        shapes = [
            Shape(
                np.concatenate([outside + np.array([0.0, 0.15])]),
                level.pericardium,
                self.pericardium_cm,
            ),
            Shape(np.concatenate([septum_high, rv_free[::-1]]), level.myocardium),
            Shape(np.concatenate([septum_high, rv_top[::-1]]), level.blood, blood=True),
            Shape(np.concatenate([septum_low, septum_high[::-1]]), level.myocardium + 2),
            Shape(np.concatenate([inferior, outside[::-1]]), level.myocardium),
        ]
        shapes += self._base(cycle, frame, half[0], wall)
        shapes += [Shape(np.concatenate([septum_low, inferior[::-1]]), level.blood, blood=True)]
        shapes += self._valves(cycle, frame, half[0])
        centre = self._place(np.array(0.4 * patient.length_cm), np.array(0.0))
        material = _radial_material(centre, patient.width_cm / 2, transverse)
        return Scene(level.background, tuple(shapes), material)

    def _base(self, cycle: Cycle, frame: int, half: float, wall: float) -> list[Shape]:
        """Aortic root above, left atrium below, the descending aorta behind it."""
        level, contraction = self.levels, float(cycle.contraction[frame])
        root = self._place(np.array(0.0), np.array(half + 0.5 * wall - self.aorta_cm / 2))
        forward = rotate(np.array([1.0, 0.0]), self.tilt_rad + self.aorta_rad)
        down = rotate(np.array([0.0, 1.0]), self.tilt_rad + self.aorta_rad)
        reach = np.linspace(-0.2, 6.0, 12)[:, None]
        swell = 1.0 + 0.15 * np.exp(-(((reach - 1.2) / 0.8) ** 2))
        swell = swell + self.valve.dilatation * np.exp(-(((reach - 3.2) / 1.4) ** 2))
        upper = root + forward * reach - down * self.aorta_cm / 2 * swell
        lower = root + forward * reach + down * self.aorta_cm / 2 * swell
        size = self.atrium_cm / 2 * (1.0 + 0.12 * contraction)
        atrium = root + forward * (size * 1.05) + down * (self.aorta_cm / 2 + 0.15 + size)
        shapes = [
            Shape(
                ellipse(tuple(atrium), (size * 1.5, size + 0.25), self.tilt_rad),
                level.myocardium - 2,
            ),
            Shape(
                ellipse(tuple(atrium), (size * 1.4, size), self.tilt_rad), level.blood, blood=True
            ),
            Shape(np.concatenate([upper, lower[::-1]]), level.blood, blood=True),
            Shape(upper, level.pericardium - 6, 0.25),
            Shape(lower, level.pericardium - 6, 0.25),
        ]
        if self.descending:
            behind = atrium + down * (size + 1.6) - forward * 0.8
            shapes += [
                Shape(ellipse(tuple(behind), (1.3, 1.25)), level.pericardium - 8),
                Shape(ellipse(tuple(behind), (1.1, 1.05)), level.blood, blood=True),
            ]
        floor = atrium + down * (size + 0.2) + forward * np.linspace(-1.5, 1.4, 10)[:, None] * size
        return [*shapes, Shape(floor, level.pericardium - 2, self.pericardium_cm)]

    def valve_outline(self, cycle: Cycle, frame: int) -> np.ndarray:
        """A circle around the aortic valve, ``(40, 2)`` cm."""
        transverse, _ = self.patient.scales(np.asarray(cycle.contraction[frame]))
        widest = outline(np.ones(1), self.patient.elliptic_share, self.patient.base_taper)[0]
        root, forward, _ = self._root(widest * self.patient.width_cm / 2 * float(transverse))
        middle = root + _CUSP_MIDDLE_CM * forward
        radius = self.aorta_cm / 2 + _BEYOND_ROOT_CM
        return ellipse((middle[0], middle[1]), (radius, radius))

    def _root(self, half: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The aortic valve's origin, and unit vectors downstream and away from the probe."""
        root = self._place(np.array(-1.0), np.array(half - self.aorta_cm / 2 + 0.3))
        turn = self.tilt_rad + self.aorta_rad
        return root, rotate(np.array([1.0, 0.0]), turn), rotate(np.array([0.0, 1.0]), turn)

    def _valves(self, cycle: Cycle, frame: int, half: float) -> list[Shape]:
        level = self.levels
        shapes = []
        opening = float(cycle.mitral_opening[frame])
        for hinge_up, sign, length in ((half - self.aorta_cm * 0.9, -1.0, 2.3), (-half, 1.0, 1.4)):
            angle = np.deg2rad(78.0 - 70.0 * opening) * sign
            steps = np.linspace(0.0, length, 4)
            along = steps * np.cos(angle)
            up = hinge_up + steps * np.sin(angle) * 0.75
            shapes.append(Shape(self._place(along, up), level.valve, 0.17))
            shapes.append(
                Shape(
                    ellipse(tuple(self._place(np.array(0.0), np.array(hinge_up))), (0.3, 0.25)),
                    level.valve + 2,
                )
            )
        root, forward, down = self._root(half)
        open_share = float(cycle.aortic_opening[frame])
        shapes += self.valve.shapes(root, forward, down, self.aorta_cm, open_share)
        return shapes


class ShortAxisView:
    """PSAX at the papillary muscles, the mitral valve or the aortic valve.

    Parameters
    ----------
    patient
        Whose heart.
    levels
        Echo levels.
    rng
        Draws the level of the cut and its position.
    plane
        One of :data:`PLANES` to have that level instead of a drawn one.
    """

    def __init__(
        self,
        patient: Patient,
        levels: Levels,
        rng: np.random.Generator,
        plane: Plane | None = None,
    ) -> None:
        self.patient, self.levels = patient, levels
        drawn = PLANES[int(rng.choice(3, p=[0.45, 0.3, 0.25]))]
        self.plane: Plane = plane or drawn
        self.centre = np.array([rng.uniform(-0.6, 1.4), rng.uniform(5.8, 8.0)])
        self.squash = rng.uniform(0.86, 1.0)
        self.turn_rad = np.deg2rad(rng.uniform(-25.0, 25.0))
        self.rv_cm = rng.uniform(1.2, 2.6)
        self.papillary_cm = rng.uniform(0.4, 0.75)
        self.aorta_cm = rng.uniform(2.4, 3.6)
        # a stream of its own: what the valve draws changes nothing else
        self.valve = ShortAxisValve(patient.valve, levels, self.turn_rad, rng.spawn(1)[0])

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        if self.plane == "aortic":
            return self._aortic(cycle, frame)
        patient, level = self.patient, self.levels
        contraction = float(cycle.contraction[frame])
        transverse, longitudinal = (float(v) for v in patient.scales(np.asarray(contraction)))
        share = 0.92 if self.plane == "papillary" else 1.0
        radius_ed = patient.width_cm / 2 * share
        radius = radius_ed * transverse
        wall = (
            np.sqrt(
                radius**2 + (patient.wall_cm**2 + 2 * radius_ed * patient.wall_cm) / longitudinal
            )
            - radius
        )
        outer = radius + wall
        crescent_in = arc(tuple(self.centre), outer, np.pi * 0.78, np.pi * 1.62)
        crescent_out = arc(
            tuple(self.centre - [0.75 * self.rv_cm, 0.7 * self.rv_cm]),
            outer * 1.02,
            np.pi * 0.8,
            np.pi * 1.62,
        )
        free = arc(
            tuple(self.centre - [0.75 * self.rv_cm + 0.3, 0.7 * self.rv_cm + 0.3]),
            outer * 1.05,
            np.pi * 0.8,
            np.pi * 1.62,
        )
        centre = tuple(self.centre)
        behind = arc(centre, outer + 0.15, np.pi * -0.1, np.pi * 0.85)
        shapes = [
            Shape(behind, level.pericardium - 2, 0.35),
            Shape(np.concatenate([crescent_in, free[::-1]]), level.myocardium),
            Shape(np.concatenate([crescent_in, crescent_out[::-1]]), level.blood, blood=True),
            Shape(ellipse(centre, (outer, outer * self.squash), self.turn_rad), level.myocardium),
            Shape(
                ellipse(centre, (radius, radius * self.squash), self.turn_rad),
                level.blood,
                blood=True,
            ),
        ]
        if self.plane == "papillary":
            for angle in (0.22, 0.78):
                direction = np.array([np.cos(np.pi * angle), np.sin(np.pi * angle)])
                at = self.centre + direction * radius * 0.8
                size = self.papillary_cm * (1.0 + 0.25 * contraction)
                shapes.append(Shape(ellipse(tuple(at), (size, size * 0.85)), level.myocardium + 2))
        else:
            gap = 0.1 + 0.42 * float(cycle.mitral_opening[frame])
            mouth = ellipse(centre, (radius * 0.68, radius * gap), 0.0)
            shapes.append(Shape(np.concatenate([mouth, mouth[:1]]), level.valve, 0.2))
        return Scene(
            level.background, tuple(shapes), _radial_material(self.centre, radius_ed, transverse)
        )

    def _aortic(self, cycle: Cycle, frame: int) -> Scene:
        """The aortic valve in the middle, right heart wrapped around it, left atrium behind."""
        level, contraction = self.levels, float(cycle.contraction[frame])
        centre, radius = self._annulus(contraction)
        size = self.patient.atrium_cm / 2 * (1.0 + 0.12 * contraction)
        atrium = centre + np.array([0.2, radius + 0.25 + size * 0.75])
        right_atrium = centre + np.array([-radius - 1.6, 1.2])
        outflow_out = arc(tuple(centre), radius + 0.3 + self.rv_cm, np.pi * 0.95, np.pi * 2.05)
        outflow_in = arc(tuple(centre), radius + 0.25, np.pi * 0.95, np.pi * 2.05)
        wall_out = arc(tuple(centre), radius + 0.7 + self.rv_cm, np.pi * 0.95, np.pi * 2.05)
        shapes = [
            Shape(ellipse(tuple(atrium), (size * 1.4, size * 0.85)), level.myocardium - 2),
            Shape(ellipse(tuple(atrium), (size * 1.28, size * 0.75)), level.blood, blood=True),
            Shape(ellipse(tuple(right_atrium), (1.9, 1.7)), level.myocardium - 2),
            Shape(ellipse(tuple(right_atrium), (1.7, 1.5)), level.blood, blood=True),
            Shape(np.concatenate([outflow_in, wall_out[::-1]]), level.myocardium),
            Shape(np.concatenate([outflow_in, outflow_out[::-1]]), level.blood, blood=True),
            *self.valve.shapes(centre, radius, float(cycle.aortic_opening[frame])),
        ]
        return Scene(level.background, tuple(shapes), _radial_material(centre, radius, 1.0))

    def _annulus(self, contraction: float) -> tuple[np.ndarray, float]:
        """Centre and radius of the aortic root's lumen, cm: it sinks and widens in systole."""
        bob = np.array([0.0, 0.35 * contraction])
        return self.centre + bob, self.aorta_cm / 2 * (1.0 + 0.05 * contraction)

    def valve_outline(self, cycle: Cycle, frame: int) -> np.ndarray:
        """A circle around the aortic valve, ``(40, 2)`` cm; at the aortic level only."""
        return self.valve.outline(*self._annulus(float(cycle.contraction[frame])))
