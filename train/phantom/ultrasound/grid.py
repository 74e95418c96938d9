"""The polar sampling grid of one acquisition and its relation to display centimetres."""

from __future__ import annotations

import numpy as np

from train.phantom.ultrasound.machine import Machine


class PolarGrid:
    """Depth samples by beams.

    Parameters
    ----------
    machine
        Sector geometry.
    depths, beams
        Number of samples along and across.

    Attributes
    ----------
    points
        Display position of every sample, cm, ``(depths, beams, 2)``: lateral, depth; the origin is
        where the central beam leaves the probe.
    """

    def __init__(self, machine: Machine, depths: int, beams: int) -> None:
        self.machine = machine
        self.shape = (depths, beams)
        radius = machine.curve_cm + (np.arange(depths) + 0.5) / depths * machine.depth_cm
        angle = ((np.arange(beams) + 0.5) / beams * 2 - 1) * machine.half_angle_rad
        self.depth_cm = radius - machine.curve_cm
        self.radius_cm = radius
        self.angle_rad = angle
        self.points = np.stack(
            [radius[:, None] * np.sin(angle), radius[:, None] * np.cos(angle) - machine.curve_cm],
            axis=-1,
        )

    def to_samples(self, points: np.ndarray) -> np.ndarray:
        """Map display cm ``(..., 2)`` to (beam, depth) samples, whose centres are at integers."""
        lateral, depth = points[..., 0], points[..., 1] + self.machine.curve_cm
        radius, angle = np.hypot(lateral, depth), np.arctan2(lateral, depth)
        beam = (angle / self.machine.half_angle_rad + 1) / 2 * self.shape[1] - 0.5
        sample = (radius - self.machine.curve_cm) / self.machine.depth_cm * self.shape[0] - 0.5
        return np.stack([beam, sample], axis=-1)
