"""Ribs, clavicles, shoulder blades and spine, drawn as layers of bone thickness.

Bones are tubes with a dense rim; a layer is drawn as lines with sub-pixel ends, the rim brighter
than the middle.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from train.phantom.chest_xray.projection import Camera, Image
from train.phantom.chest_xray.thorax import Thorax

_SUBPIXEL = 4  # fractional bits of line ends


def _tube(
    layer: npt.NDArray[np.uint8], points: npt.NDArray[np.float64], width: float, core: int
) -> None:
    """Draw a tube along film points (N, 2): rim 255, middle `core`, `width` in pixels."""
    line = [np.round((points - 0.5) * 2**_SUBPIXEL).astype(np.int32)]
    for thickness, value in ((width, 255), (0.62 * width, core)):
        drawn = max(1, round(thickness))
        cv2.polylines(layer, line, False, value, drawn, cv2.LINE_AA, _SUBPIXEL)


def ribs(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Draw ten pairs of ribs; 0 to 2, as their backs and fronts cross.

    A rib runs from the spine around the cavity, falling on its way to the side and more steeply
    from there to the front, where its bone ends in cartilage.
    """
    back = np.zeros((camera.size, camera.size), np.uint8)
    front = np.zeros_like(back)
    angle = np.radians(np.linspace(8.0, 150.0, 48))
    width = rng.uniform(0.75, 1.15) / camera.pixel_cm
    spacing = thorax.height * rng.uniform(0.105, 0.125)
    behind = angle <= np.pi / 2
    side = np.clip(angle / (np.pi / 2), 0.0, 1.0)
    forward = np.clip(angle / (np.pi / 2) - 1.0, 0.0, 1.0)
    for left in (-1.0, 1.0):
        for number in range(10):
            start = -0.97 * thorax.height + spacing * number + rng.normal(0.0, 0.08)
            fall = thorax.rib_slope * (0.25 + 0.75 * min(number / 4, 1.0))
            z = start + fall * (side**2 - 0.5 * np.sin(np.pi * side)) + 2.0 * fall * forward
            around = np.maximum(thorax.outline(np.minimum(z, 0.0)), 0.16) + 0.02
            x = left * (thorax.half_width * around * np.sin(angle) + 0.3)
            y = -thorax.half_depth * around * np.cos(angle)
            film = camera.place(np.stack([x, y, z], axis=1))
            _tube(back, film[behind], width, 150)
            _tube(front, film[~behind], 1.15 * width, 165)
    return np.asarray(back / 255 + 0.8 * front / 255, np.float32)


def clavicles(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Draw both collar bones, 0 to 1."""
    layer = np.zeros((camera.size, camera.size), np.uint8)
    t = np.linspace(0.0, 1.0, 24)
    rise = rng.uniform(-0.6, 2.6)
    width = rng.uniform(0.9, 1.3) / camera.pixel_cm
    level = -thorax.height * rng.uniform(0.84, 0.95)
    for left in (-1.0, 1.0):
        x = left * (1.7 + t * (thorax.half_width * 0.9))
        z = level - rise * t - 0.9 * np.sin(np.pi * 1.6 * t) + rng.normal(0, 0.15)
        y = 0.8 * thorax.half_depth * (1.0 - 0.7 * t)
        _tube(layer, camera.place(np.stack([x, y, z], axis=1)), width, 165)
    return np.asarray(layer / 255, np.float32)


def shoulder_blades(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Draw both shoulder blades, 0 to 1: triangles at the sides, mostly outside the lungs."""
    layer = np.zeros((camera.size, camera.size), np.uint8)
    out = rng.uniform(0.72, 0.98)
    corners = np.array([[0.0, -0.86], [0.42, -0.93], [0.12, -0.35]])
    for left in (-1.0, 1.0):
        x = left * thorax.half_width * (out + corners[:, 0])
        y = np.full(3, -0.8 * thorax.half_depth)
        film = camera.place(np.stack([x, y, thorax.height * corners[:, 1]], axis=1))
        polygon = [np.round((film - 0.5) * 2**_SUBPIXEL).astype(np.int32)]
        cv2.fillPoly(layer, polygon, 130, cv2.LINE_AA, _SUBPIXEL)
        width = max(1, round(0.35 / camera.pixel_cm))
        cv2.polylines(layer, polygon, True, 230, width, cv2.LINE_AA, _SUBPIXEL)
    return np.asarray(layer / 255, np.float32)


def spine(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Draw vertebrae with end plates, pedicles and spinous processes, 0 to 1."""
    layer = np.zeros((camera.size, camera.size), np.uint8)
    pitch = rng.uniform(2.2, 2.7)
    bend = rng.normal(0.0, 0.5)
    depth = -0.75 * thorax.half_depth
    half = rng.uniform(1.45, 1.85)
    z = -thorax.height - 6.0
    while z < 16.0:
        x = bend * np.sin(np.pi * (z + thorax.height) / (1.6 * thorax.height))
        wide = half * (1.0 + 0.012 * (z + thorax.height))
        body = np.array([[-wide, 0.14], [wide, 0.14], [wide, 0.86], [-wide, 0.86]])
        points = np.stack([x + body[:, 0], np.full(4, depth), z + pitch * body[:, 1]], axis=1)
        polygon = [np.round((camera.place(points) - 0.5) * 2**_SUBPIXEL).astype(np.int32)]
        cv2.fillPoly(layer, polygon, 165, cv2.LINE_AA, _SUBPIXEL)
        line = max(1, round(0.18 / camera.pixel_cm))
        cv2.polylines(layer, polygon, True, 205, line, cv2.LINE_AA, _SUBPIXEL)
        centres = np.array([[-0.68 * wide, depth], [0.68 * wide, depth], [0.0, depth - 3.5]])
        marks = np.stack([x + centres[:, 0], centres[:, 1], np.full(3, z + 0.45 * pitch)], axis=1)
        for column, row in camera.place(marks):
            spot = (round((column - 0.5) * 2**_SUBPIXEL), round((row - 0.5) * 2**_SUBPIXEL))
            size = (round(0.3 / camera.pixel_cm * 16), round(0.5 / camera.pixel_cm * 16))
            cv2.ellipse(layer, spot, size, 0, 0, 360, 235, -1, cv2.LINE_AA, _SUBPIXEL)
        z += pitch
    return np.asarray(layer / 255, np.float32)


def arch_calcium(thorax: Thorax, camera: Camera, amount: float, rng: np.random.Generator) -> Image:
    """Draw the calcified wall of the aortic knob, 0 to 1.

    Both the arc that is calcified and its density grow with `amount`, 0 to 1.
    """
    layer = np.zeros((camera.size, camera.size), np.uint8)
    middle = np.radians(rng.uniform(-38.0, -22.0))
    half = np.radians(12.0 + 88.0 * amount)
    angle = np.linspace(middle - half, middle + half, 40)
    radius = 0.93 * thorax.knob_radius
    x, y, z = thorax.knob
    points = np.stack(
        [x + radius * np.cos(angle), np.full_like(angle, y), z + radius * np.sin(angle)], axis=1
    )
    line = [np.round((camera.place(points) - 0.5) * 2**_SUBPIXEL).astype(np.int32)]
    width = max(1, round((0.16 + 0.16 * amount) / camera.pixel_cm))
    cv2.polylines(layer, line, False, 255, width, cv2.LINE_AA, _SUBPIXEL)
    blurred = cv2.GaussianBlur(layer.astype(np.float32) / 255, (0, 0), 0.6)
    return np.asarray((0.3 + 0.7 * amount) * blurred, np.float32)
