"""Path lengths of rays through solids.

Rays are parallel to y after the person is turned about the vertical axis; that the beam diverges
is taken into account by the magnification of each solid's centre depth [simplification: a solid is
not sheared]. For an ellipsoid with matrix C the chord along y through the point (x, z) is

    2 sqrt(1 - r' C_xz^-1 r) / sqrt((C^-1)_yy),   r = (x, z) - centre,

which follows from completing the square in y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.phantom.chest_xray.thorax import Ellipsoid, Thorax

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camera:
    """Where film and source are, and how the film is sampled.

    Attributes
    ----------
    size
        Side of the film, pixels.
    pixel_cm
        Pixel pitch at the detector.
    centre
        (x, z) at the film's centre, cm in the detector's plane.
    turn_deg
        Rotation of the person about the vertical axis.
    source_cm
        Distance from source to detector.
    detector_y
        Depth of the detector in the person's frame: positive in front of the chest (PA), negative
        behind it (AP).
    """

    size: int
    pixel_cm: float
    centre: tuple[float, float]
    turn_deg: float
    source_cm: float
    detector_y: float

    def magnification(self, y: float) -> float:
        """How much larger than itself a thing at depth y appears."""
        return self.source_cm / (self.source_cm - abs(self.detector_y - y))

    def axes(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Film coordinates (x of the columns, z of the rows), cm."""
        middles = np.arange(self.size, dtype=np.float64) + 0.5
        steps = (middles - self.size / 2) * np.float64(self.pixel_cm)
        return steps + self.centre[0], steps + self.centre[1]

    def place(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map points (..., 3) of the person to film pixels (..., 2) as (column, row)."""
        turn = np.radians(self.turn_deg)
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        depth = y * np.cos(turn) - x * np.sin(turn)
        zoom = self.source_cm / (self.source_cm - np.abs(self.detector_y - depth))
        across = (x * np.cos(turn) + y * np.sin(turn)) * zoom
        film = np.stack([across - self.centre[0], z * zoom - self.centre[1]], axis=-1)
        return np.asarray(film / self.pixel_cm + self.size / 2)


def ellipsoid_path(solid: Ellipsoid, camera: Camera, out: Image) -> None:
    """Add the path lengths in cm through a solid to an image of the film."""
    turn = np.radians(camera.turn_deg)
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    covariance = rotation @ solid.covariance() @ rotation.T
    centre = rotation @ np.array(solid.centre)
    zoom = camera.magnification(float(centre[1]))
    longest = 2.0 / np.sqrt(np.linalg.inv(covariance)[1, 1])
    flat = covariance[np.ix_((0, 2), (0, 2))] * zoom**2
    inverse = np.linalg.inv(flat)
    x, z = camera.axes()
    dx, dz = x - centre[0] * zoom, z - centre[2] * zoom
    columns = np.flatnonzero(np.abs(dx) < np.sqrt(flat[0, 0]))
    rows = np.flatnonzero(np.abs(dz) < np.sqrt(flat[1, 1]))
    if not len(columns) or not len(rows):
        return
    dx, dz = dx[columns].astype(np.float32), dz[rows].astype(np.float32)[:, None]
    inside = 1.0 - inverse[0, 0] * dx**2 - 2 * inverse[0, 1] * dx * dz - inverse[1, 1] * dz**2
    window = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    window += np.float32(longest) * np.sqrt(np.maximum(inside, 0.0, dtype=np.float32))


def section_path(
    half_width: npt.NDArray[np.float64], half_depth: npt.NDArray[np.float64], camera: Camera
) -> Image:
    """Path lengths through a stack of elliptic sections centred on the body's axis.

    Parameters
    ----------
    half_width, half_depth
        Of the section at each row of the film, cm; 0 where there is none.
    """
    x, _ = camera.axes()
    turn = np.radians(camera.turn_deg)
    zoom = camera.magnification(0.0)
    wide = np.hypot(half_width * np.cos(turn), half_depth * np.sin(turn))
    safe = np.maximum(wide, 1e-6)
    share = (x[None, :] / zoom).astype(np.float32) / safe[:, None].astype(np.float32)
    longest = (2.0 * half_width * half_depth / safe).astype(np.float32)
    return np.asarray(longest[:, None] * np.sqrt(np.maximum(1.0 - share**2, 0.0)))


def cavity_path(thorax: Thorax, camera: Camera) -> Image:
    """Path lengths through the chest's cavity above the diaphragms, where the lungs are."""
    x, z = camera.axes()
    zoom = camera.magnification(0.0)
    z_body = z / zoom
    outline = thorax.outline(z_body) * (z_body > -thorax.height)
    path = section_path(thorax.half_width * outline, thorax.half_depth * outline, camera)
    below = (z_body[:, None] - thorax.dome(x / zoom)[None, :]).astype(np.float32)
    # A ray just below the dome's top grazes it: the tissue it crosses grows with the root.
    filled = np.sqrt(np.clip(below / 3.0, 0.0, 1.0))
    return np.asarray(path * (1.0 - filled))
