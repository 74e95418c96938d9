"""From echo levels to a grey sector: log compression, grey curve, scan conversion."""

from __future__ import annotations

import cv2
import numpy as np

from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.machine import Machine


def grey(echo_db: np.ndarray, machine: Machine) -> np.ndarray:
    """Map dB to 0..1 with the machine's gain, range, gamma and S-curve; any shape, float32."""
    value = np.clip(
        (echo_db + machine.gain_db + machine.dynamic_range_db) / machine.dynamic_range_db, 0, 1
    )
    value = value**machine.gamma
    curved = value * value * (3.0 - 2.0 * value)
    return np.asarray(value + machine.s_curve * (curved - value), dtype=np.float32)


class ScanConverter:
    """Polar samples to a square window around the sector.

    The window is the sector's bounding box made square, as the node crops real clips.

    Parameters
    ----------
    grid
        Polar sampling.
    size
        Side of the window in pixels.
    """

    def __init__(self, grid: PolarGrid, size: int) -> None:
        machine = grid.machine
        self.size = size
        self.turn_rad, self.curve_cm = machine.turn_rad, machine.curve_cm
        reach = machine.curve_cm + machine.depth_cm
        turn, half = machine.turn_rad, machine.half_angle_rad
        left, right = np.sin(-half + turn) * reach, np.sin(half + turn) * reach
        low = min(np.cos(half + turn), np.cos(-half + turn), 1.0) * machine.curve_cm
        top, bottom = low - machine.curve_cm, reach - machine.curve_cm
        self.side_cm = max(right - left, bottom - top)
        self.origin_cm = np.array(
            [
                (left + right - self.side_cm) / 2 + machine.shift[0] * self.side_cm,
                (top + bottom - self.side_cm) / 2 + machine.shift[1] * self.side_cm,
            ]
        )
        centres = (np.arange(size) + 0.5) / size * self.side_cm
        lateral, depth = np.meshgrid(centres + self.origin_cm[0], centres + self.origin_cm[1])
        samples = grid.to_samples(self._unturn(np.stack([lateral, depth], axis=-1)))
        self.map = samples.astype(np.float32)
        inside = (np.abs(samples[..., 0] - (grid.shape[1] - 1) / 2) < grid.shape[1] / 2) & (
            np.abs(samples[..., 1] - (grid.shape[0] - 1) / 2) < grid.shape[0] / 2
        )
        self.mask = inside.astype(np.float32)

    def _turn(self, points: np.ndarray, angle_rad: float) -> np.ndarray:
        """Rotate display points about the centre of the (curved) array."""
        c, s = np.cos(angle_rad), np.sin(angle_rad)
        lateral, depth = points[..., 0], points[..., 1] + self.curve_cm
        return np.stack(
            [c * lateral + s * depth, -s * lateral + c * depth - self.curve_cm], axis=-1
        )

    def _unturn(self, points: np.ndarray) -> np.ndarray:
        return self._turn(points, -self.turn_rad)

    def convert(self, polar: np.ndarray) -> np.ndarray:
        """Convert grey 0..1 ``(depths, beams)`` to uint8 ``(size, size)``, black outside."""
        window = cv2.remap(
            polar,
            self.map[..., 0],
            self.map[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(np.clip(window * self.mask * 255.0 + 0.5, 0, 255), dtype=np.uint8)

    def to_window(self, points: np.ndarray) -> np.ndarray:
        """Anatomy in cm ``(..., 2)`` to fractions of the window (0..1)."""
        return np.asarray((self._turn(points, self.turn_rad) - self.origin_cm) / self.side_cm)
