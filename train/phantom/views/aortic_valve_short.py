"""The aortic valve in short axis: ring, three cusps, calcific foci with their shadows."""

from __future__ import annotations

import numpy as np

from train.phantom.shapes import Levels, Shape, arc, ellipse
from train.phantom.valve import AorticValve

_CUSPS = 3
#: Midpoint of a fully open cusp's free edge, as a share of the ring's radius.
_OPEN_SHARE = 0.88
_WALL_CM = 0.22
#: Beyond the lumen, to the side of the true box: wall and a little tissue around it.
_BOX_MARGIN_CM = 0.35


class ShortAxisValve:
    """A patient's aortic valve as a short-axis cut shows it.

    Healthy leaflets vary in brightness and carry small bright nodules without shadow (nodules of
    Arantius, specular glints), so that brightness alone does not give calcium away.

    Parameters
    ----------
    valve
        The patient's.
    levels
        Echo levels.
    turn_rad
        Rotation of the commissures.
    rng
        Draws what the patient's valve leaves open: where along a cusp a focus lies, nodules.
    """

    def __init__(
        self, valve: AorticValve, levels: Levels, turn_rad: float, rng: np.random.Generator
    ) -> None:
        self.valve, self.levels = valve, levels
        even = turn_rad + np.pi * (0.5 + np.arange(_CUSPS) * 2 / _CUSPS)
        self._commissures = even + np.deg2rad(rng.uniform(-7.0, 7.0, _CUSPS))
        self._leaflet_db = levels.valve + rng.uniform(-4.0, 5.0)
        self._belly_db = levels.blood + rng.uniform(3.0, 14.0) if rng.random() < 0.5 else None
        self._across = rng.uniform(0.15, 0.85, len(valve.foci))
        self._focus_turn = rng.uniform(0.0, np.pi, len(valve.foci))
        self._nodules = [
            (
                int(rng.integers(_CUSPS)),
                *rng.uniform([0.35, 0.7, 0.05, 1.0], [0.65, 1.0, 0.11, 6.0]),
            )
            for _ in range(int(rng.integers(0, 4)))
        ]

    def shapes(self, centre: np.ndarray, radius_cm: float, opening: float) -> list[Shape]:
        """Ring, cusps and calcium, from back to front.

        Parameters
        ----------
        centre
            Of the lumen, display cm, ``(2,)``.
        radius_cm
            Of the lumen.
        opening
            0 closed to 1 as open as the cycle gets; the valve's own share limits it further.
        """
        level, spread = self.levels, opening * self.valve.opening_share
        ring = (radius_cm + _WALL_CM, radius_cm + _WALL_CM)
        drawn = [
            Shape(ellipse((centre[0], centre[1]), ring), level.pericardium - 7),
            Shape(ellipse((centre[0], centre[1]), (radius_cm, radius_cm)), level.blood, blood=True),
        ]
        edges = [self._free_edge(k, centre, radius_cm, spread) for k in range(_CUSPS)]
        if self._belly_db is not None:
            for k, edge in enumerate(edges):
                wall = arc((centre[0], centre[1]), radius_cm, *self._span(k), points=9)
                drawn.append(Shape(np.concatenate([wall, edge[::-1]]), self._belly_db))
        drawn += [Shape(edge, self._leaflet_db, self.valve.leaflet_cm) for edge in edges]
        for cusp, across, along, size, gain in self._nodules:
            at = self._on_cusp(cusp, across, along, centre, radius_cm, edges[cusp])
            drawn.append(Shape(ellipse(at, (size, size)), self._leaflet_db + gain))
        for focus, across, turn in zip(
            self.valve.foci, self._across, self._focus_turn, strict=True
        ):
            edge = edges[focus.leaflet]
            at = self._on_cusp(focus.leaflet, across, focus.along, centre, radius_cm, edge)
            outline = ellipse(at, (focus.radius_cm, 0.75 * focus.radius_cm), turn)
            gain = self._leaflet_db + focus.gain_db
            drawn.append(Shape(outline, gain, shadow_db=focus.shadow_db))
        return drawn

    @staticmethod
    def outline(centre: np.ndarray, radius_cm: float) -> np.ndarray:
        """A circle just outside the ring, ``(40, 2)`` cm; its bounding box is the true box."""
        outside = radius_cm + _BOX_MARGIN_CM
        return ellipse((centre[0], centre[1]), (outside, outside))

    def _span(self, cusp: int) -> tuple[float, float]:
        """Angles of the two commissures between which a cusp hangs."""
        first = float(self._commissures[cusp])
        second = float(self._commissures[(cusp + 1) % _CUSPS])
        return first, second if second > first else second + 2 * np.pi

    def _free_edge(
        self, cusp: int, centre: np.ndarray, radius_cm: float, spread: float
    ) -> np.ndarray:
        """From commissure to commissure, ``(9, 2)``: through the centre when closed, an arc when
        open; closed edges of neighbours meet in the three lines of the closed valve."""
        span = self._span(cusp)
        ends = [centre + radius_cm * np.array([np.cos(a), np.sin(a)]) for a in span]
        middle = sum(span) / 2
        tip = centre + _OPEN_SHARE * radius_cm * spread * np.array([np.cos(middle), np.sin(middle)])
        share = np.linspace(0.0, 1.0, 9)[:, None]
        bent = np.where(
            share < 0.5,
            ends[0] + (tip - ends[0]) * 2 * share,
            tip + (ends[1] - tip) * (2 * share - 1),
        )
        control = 2 * tip - (ends[0] + ends[1]) / 2
        curved = (1 - share) ** 2 * ends[0] + 2 * share * (1 - share) * control + share**2 * ends[1]
        return np.asarray((1.0 - spread) * bent + spread * curved)

    def _on_cusp(
        self,
        cusp: int,
        across: float,
        along: float,
        centre: np.ndarray,
        radius_cm: float,
        edge: np.ndarray,
    ) -> tuple[float, float]:
        """A point of a cusp: `across` from commissure to commissure, `along` from hinge to tip."""
        first, second = self._span(cusp)
        angle = first + across * (second - first)
        hinge = centre + radius_cm * np.array([np.cos(angle), np.sin(angle)])
        at = np.array(
            [np.interp(across, np.linspace(0, 1, len(edge)), edge[:, axis]) for axis in (0, 1)]
        )
        point = hinge + along * (at - hinge)
        return float(point[0]), float(point[1])
