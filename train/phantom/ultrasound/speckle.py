"""Speckle: complex scatterers carried by the tissue, blurred by the point-spread function.

The envelope of fully developed speckle is Rayleigh distributed: mean / standard deviation is
sqrt(pi / (4 - pi)) = 1.91 (Burckhardt, IEEE Trans. Sonics Ultrasonics 25, 1978).
"""

from __future__ import annotations

import cv2
import numpy as np

from train.phantom.ultrasound.grid import PolarGrid

#: Scatterer cells per sample of the grid along each axis: below the point-spread function.
_TILE = 512


class ScattererField:
    """White complex noise in tissue coordinates, sampled where the tissue is.

    Parameters
    ----------
    rng
        Draws the scatterers once; every frame samples the same ones.
    grid
        Sets the density: one cell per grid sample.
    """

    def __init__(self, rng: np.random.Generator, grid: PolarGrid) -> None:
        self.cells = rng.standard_normal((_TILE, _TILE, 2)).astype(np.float32)
        self.grid = grid

    def sample(self, material: np.ndarray) -> np.ndarray:
        """Scatterers at material positions.

        Parameters
        ----------
        material
            Display cm at end-diastole, ``(depths, beams, 2)``.

        Returns
        -------
        float32 ``(depths, beams, 2)``: real and imaginary part, unit variance each where the
        sampling is on cell centres.
        """
        cells = self.grid.to_samples(material).astype(np.float32) + 128.0
        # nearest neighbour keeps the noise white; interpolation would lower its variance
        return np.asarray(
            cv2.remap(
                self.cells,
                cells[..., 0],
                cells[..., 1],
                cv2.INTER_NEAREST,
                borderMode=cv2.BORDER_WRAP,
            )
        )


def blur_beams(field: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """Apply the point-spread function, wider laterally away from the focus.

    Parameters
    ----------
    field
        float32 ``(depths, beams, channels)``.
    grid
        Geometry; the machine's point-spread function is read from it.
    """
    machine = grid.machine
    axial = max(machine.axial_psf_cm / machine.depth_cm * grid.shape[0], 0.35)
    narrow = max(machine.lateral_psf_rad / (2 * machine.half_angle_rad) * grid.shape[1], 0.4)
    sharp = cv2.GaussianBlur(field, (0, 0), sigmaX=narrow, sigmaY=axial)
    wide = cv2.GaussianBlur(field, (0, 0), sigmaX=2.0 * narrow, sigmaY=axial)
    # unit energy keeps the echo level independent of the point-spread function
    sharp = sharp * np.float32(2.0 * np.sqrt(np.pi * narrow * axial))
    wide = wide * np.float32(2.0 * np.sqrt(np.pi * 2.0 * narrow * axial))
    near_focus = np.abs(grid.depth_cm - machine.focus_cm) < 4.5
    return np.asarray(np.where(near_focus[:, None, None], sharp, wide))


def envelope(field: np.ndarray) -> np.ndarray:
    """Magnitude of a complex field given as two channels, ``(depths, beams)``."""
    return np.asarray(np.sqrt(field[..., 0] ** 2 + field[..., 1] ** 2) * np.float32(np.sqrt(0.5)))
