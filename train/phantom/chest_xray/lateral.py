"""A chest from the side: one lung field with the heart in front of the spine.

Only good enough to be refused: the quality gate must see that it is not a PA film.
"""

from __future__ import annotations

import cv2
import numpy as np

from train.phantom.chest_xray.projection import Camera, Image
from train.phantom.chest_xray.thorax import Thorax

_SOFT = 0.13
_LUNG = 0.72


def _ellipse(
    camera: Camera, centre: tuple[float, float], axes: tuple[float, float], tilt_deg: float = 0.0
) -> Image:
    """Chord share, 0 to 1, of an ellipse at (y, z)."""
    y, z = camera.axes()
    turn = np.radians(tilt_deg)
    dy, dz = (y - centre[0])[None, :], (z - centre[1])[:, None]
    along = (dy * np.cos(turn) + dz * np.sin(turn)) / axes[0]
    across = (-dy * np.sin(turn) + dz * np.cos(turn)) / axes[1]
    return np.sqrt(np.maximum(1.0 - along**2 - across**2, 0.0)).astype(np.float32)


def lateral_attenuation(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Attenuation along x, the person facing left or right."""
    wide, deep, high = thorax.half_width, 1.25 * thorax.half_depth, thorax.height
    body = 2 * (wide + thorax.fat) * _ellipse(camera, (0.0, -2.0), (deep + 4.0, 1.6 * high))
    field = _ellipse(camera, (-0.5, -0.42 * high), (deep, 0.62 * high), rng.uniform(-8, 8))
    _, z = camera.axes()
    y, _ = camera.axes()
    dome = 1.5 + 0.25 * np.abs(y - 0.3 * deep)
    below = np.clip((z[:, None] - dome[None, :]) / 3.0, 0.0, 1.0).astype(np.float32)
    lung = 2 * wide * field * (1.0 - np.sqrt(below))
    heart = 0.9 * wide * _ellipse(camera, (0.35 * deep, -3.5), (6.0, 4.8), -35.0)
    middle = 4.0 * _ellipse(camera, (0.1 * deep, -0.7 * high), (2.2, 0.35 * high))
    total = _SOFT * (body - _LUNG * np.maximum(lung - heart - middle, 0.0))
    pitch = rng.uniform(2.2, 2.7)
    bodies = 0.5 + 0.5 * np.clip(2.0 * np.cos(2 * np.pi * z / pitch) + 1.2, 0.0, 1.0)
    column = _ellipse(camera, (-0.78 * deep, 0.0), (1.8, 60.0))
    total += 0.4 * column * bodies[:, None].astype(np.float32)
    total += 0.25 * _ellipse(camera, (deep + 0.5, -0.5 * high), (0.7, 0.45 * high), -12.0)
    if rng.random() < 0.5:
        total = np.ascontiguousarray(total[:, ::-1])
    return np.asarray(cv2.GaussianBlur(total, (0, 0), 0.8), np.float32)
