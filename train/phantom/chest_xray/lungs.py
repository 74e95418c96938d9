"""What is inside the lungs: vessels that branch outwards from the hila, and fine texture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from train.phantom.chest_xray.projection import Camera, Image
from train.phantom.chest_xray.thorax import Thorax

_SUBPIXEL = 4


def vessels(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Draw the vessels of both lungs, 0 to 1: thick at the hila, thinner with each branch."""
    layer = np.zeros((camera.size, camera.size), np.uint8)
    strength = rng.uniform(0.55, 1.0)
    for left in (-1.0, 1.0):
        hilum = np.array([left * rng.uniform(3.6, 4.6), 0.0, -thorax.height * 0.46])
        hilum[2] -= 1.0 if left > 0 else 0.0
        for angle in np.linspace(-78.0, 82.0, 11) + rng.normal(0, 5, 11):
            heading = np.radians(angle)
            width = rng.uniform(0.35, 0.75)
            _branch(layer, camera, hilum, left, heading, width, thorax.half_width, rng)
    soft = cv2.GaussianBlur(layer.astype(np.float32), (0, 0), 0.5) / 255
    return np.asarray(strength * soft, np.float32)


def _branch(
    layer: npt.NDArray[np.uint8],
    camera: Camera,
    start: npt.NDArray[np.float64],
    left: float,
    heading: float,
    width: float,
    reach: float,
    rng: np.random.Generator,
) -> None:
    """Draw one vessel and the two that leave it."""
    steps = 9
    for generation in range(3):
        length = reach * rng.uniform(0.22, 0.34) * 0.8**generation
        turns = heading + np.cumsum(rng.normal(0, 0.07, steps))
        move = np.stack(
            [left * np.cos(turns), rng.normal(0, 0.4, steps), np.sin(turns)], axis=1
        ) * (length / steps)
        points = start + np.concatenate([np.zeros((1, 3)), np.cumsum(move, axis=0)])
        film = camera.place(points)
        pixels = width / camera.pixel_cm
        value = int(np.clip(235 * min(pixels, 1.0) * min(1.0, width / 0.5), 20, 235))
        line = [np.round((film - 0.5) * 2**_SUBPIXEL).astype(np.int32)]
        cv2.polylines(layer, line, False, value, max(1, round(pixels)), cv2.LINE_AA, _SUBPIXEL)
        start, heading = points[-1], float(turns[-1]) + rng.choice([-1, 1]) * rng.uniform(0.2, 0.6)
        width *= 0.62


def texture(camera: Camera, rng: np.random.Generator) -> Image:
    """Draw fine interstitial texture: noise of mean 0 at three scales, about -2 to 2."""
    total = np.zeros((camera.size, camera.size), np.float32)
    for pitch_cm, weight in ((0.35, 0.5), (0.8, 0.5), (2.5, 0.6)):
        side = max(2, round(camera.size * camera.pixel_cm / pitch_cm))
        noise = rng.standard_normal((side, side), dtype=np.float32)
        size = (camera.size, camera.size)
        total += weight * cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR)
    return total
