"""The aortic valve in the parasternal long axis: two cusps in the root, calcium, shadows."""

from __future__ import annotations

import numpy as np

from train.phantom.shapes import Levels, Shape, ellipse
from train.phantom.valve import AorticValve

#: Hinges lie this far upstream of the root's origin, cm.
_HINGE_CM = 0.3
#: Half distances from the root's axis as shares of its diameter: hinges, tips when fully open.
_HINGE_SHARE, _OPEN_SHARE = 0.42, 0.38
#: Downstream reach of closed cusps from their hinges, cm.
_CLOSED_REACH_CM = 1.0
_LEAST_REACH_CM = 0.4
#: A healthy leaflet is thin and faint, a sclerotic one bright: gain by thickness, dB, and limits.
_EVEN_CM, _GAIN_DB_PER_CM, _GAIN_DB = 0.2, 60.0, (-7.0, 8.0)
_MOST_DB = 12.0
_POINTS = 9


class LongAxisValve:
    """A patient's aortic valve as the long axis shows it.

    The upper cusp is the right coronary one; the lower one is the left or the non-coronary cusp,
    whichever the plane meets, and carries the foci of both.

    Parameters
    ----------
    valve
        The patient's.
    levels
        Echo levels.
    rng
        Draws how bright the leaflets are and how they are shaped beyond what the state says.

    Attributes
    ----------
    dilatation
        Widening of the aorta downstream of a narrow valve, as a share of its diameter.
    """

    def __init__(self, valve: AorticValve, levels: Levels, rng: np.random.Generator) -> None:
        self.valve, self.levels = valve, levels
        sclerosis = np.clip(_GAIN_DB_PER_CM * (valve.leaflet_cm - _EVEN_CM), *_GAIN_DB)
        self._leaflet_db = levels.valve + float(sclerosis) + rng.uniform(-2.0, 2.0)
        self.dilatation = (1.0 - valve.opening_share) * rng.uniform(0.05, 0.35)
        self._belly_cm = rng.uniform(0.05, 0.25)
        self._widths = valve.leaflet_cm * rng.uniform(0.9, 1.1, 2)
        self._focus_turn = rng.uniform(0.0, np.pi, len(valve.foci))

    def shapes(
        self,
        root: np.ndarray,
        forward: np.ndarray,
        down: np.ndarray,
        aorta_cm: float,
        opening: float,
    ) -> list[Shape]:
        """Cusps and calcium, from back to front.

        Parameters
        ----------
        root
            On the axis of the aortic root at the valve, display cm, ``(2,)``.
        forward, down
            Unit vectors: downstream, and away from the probe.
        aorta_cm
            Diameter of the root.
        opening
            0 closed to 1 as open as the cycle gets; the valve's own share limits it further.
        """
        axes = np.stack([forward, down])
        centres = [
            root + self.leaflet(sign, aorta_cm, opening) @ axes
            for sign in (-1.0, 1.0)  # upper, lower
        ]
        drawn = [
            Shape(_ribbon(centre, width), self._leaflet_db)
            for centre, width in zip(centres, self._widths, strict=True)
        ]
        for focus, turn in zip(self.valve.foci, self._focus_turn, strict=True):
            line = centres[0] if focus.leaflet == 0 else centres[1]
            share = np.linspace(0.0, 1.0, len(line))
            at = (
                np.interp(focus.along, share, line[:, 0]),
                np.interp(focus.along, share, line[:, 1]),
            )
            outline = ellipse(at, (focus.radius_cm, 0.75 * focus.radius_cm), turn)
            level = min(self._leaflet_db + focus.gain_db, _MOST_DB)
            drawn.append(Shape(outline, level, shadow_db=focus.shadow_db))
        return drawn

    def leaflet(self, sign: float, aorta_cm: float, opening: float) -> np.ndarray:
        """Middle line of one cusp, hinge to tip.

        Its length stays the same: a tip that comes away from the axis also goes downstream. Closed,
        its belly sags into the ventricle; open, a doming one bows outwards while its tip stays in.

        Parameters
        ----------
        sign
            -1 upper, 1 lower.
        aorta_cm, opening
            As in :meth:`shapes`.

        Returns
        -------
        ``(9, 2)`` cm downstream and away from the probe, from the root's origin.
        """
        hinge = _HINGE_SHARE * aorta_cm
        apart = opening * self.valve.opening_share
        tip = _OPEN_SHARE * aorta_cm * apart
        length = np.hypot(_CLOSED_REACH_CM, hinge)
        reach = np.sqrt(max(length**2 - (hinge - tip) ** 2, _LEAST_REACH_CM**2))
        ends = np.array([[-_HINGE_CM, hinge], [reach - _HINGE_CM, tip]])
        bow = 0.35 * self.valve.doming * opening * aorta_cm
        sag = 2.0 * self._belly_cm * (1.0 - opening)
        control = ends.mean(0) + np.array([-sag, bow])
        share = np.linspace(0.0, 1.0, _POINTS)[:, None]
        line = (1 - share) ** 2 * ends[0] + 2 * share * (1 - share) * control + share**2 * ends[1]
        return np.asarray(line * np.array([1.0, sign]))


def _ribbon(line: np.ndarray, width_cm: float) -> np.ndarray:
    """Outline of a line ``(N, 2)`` of some thickness, a little thicker at its end."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    half = width_cm / 2 * np.linspace(0.85, 1.2, len(line))[:, None]
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])
