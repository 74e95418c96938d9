"""From a scene to echo levels in dB on the polar grid: anatomy, speckle, beam artefacts."""

from __future__ import annotations

import cv2
import numpy as np

from train.phantom.shapes import Scene, Shape
from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.speckle import ScattererField, blur_beams, envelope

#: Sub-sample precision of rasterised outlines, bits.
_SHIFT = 4


class BeamFormer:
    """Images scenes of one patient with one machine.

    Parameters
    ----------
    grid
        Sampling and machine.
    rng
        Draws scatterers, mottle and the fixed pattern of the artefacts; frames draw from it on.
    """

    def __init__(self, grid: PolarGrid, rng: np.random.Generator) -> None:
        self.grid = grid
        self.rng = rng
        self.tissue = [ScattererField(rng, grid) for _ in range(grid.machine.looks)]
        self.mottle = _mottle(rng, grid.machine.mottle_db)
        self.pattern_db = _fixed_pattern(grid, rng)
        self.clutter = blur_beams(rng.standard_normal((*grid.shape, 2)).astype(np.float32), grid)
        self.tangle = (
            cv2.GaussianBlur(rng.standard_normal(grid.shape).astype(np.float32), (0, 0), 6) * 12
        )
        warp = rng.standard_normal((*grid.shape, 2)).astype(np.float32)
        self.warp_cm = cv2.GaussianBlur(warp, (0, 0), 12) * 12 * rng.uniform(0.05, 0.14)

    def form(self, scene: Scene) -> np.ndarray:
        """Echo amplitude of one frame, dB, float32 ``(depths, beams)``."""
        machine, grid = self.grid.machine, self.grid
        level, blood = self._levels(scene)
        material = scene.material(grid.points)
        level = level + self._mottle_at(material)
        amplitude = np.power(10.0, level / 20.0, dtype=np.float32)[..., None]
        power = np.zeros(grid.shape, dtype=np.float32)
        for field in self.tissue:
            scatterers = field.sample(material)
            fresh = self.rng.standard_normal(scatterers.shape, dtype=np.float32)
            keep = np.where(blood, np.float32(0.4), np.float32(1.0))[..., None]
            scatterers = scatterers * keep + fresh * np.sqrt(1.0 - keep**2)
            power += envelope(blur_beams(scatterers * amplitude, grid)) ** 2
        signal = power / len(self.tissue)
        if machine.reverberation_db > -100.0:
            signal = signal + _repeat(signal, grid) * 10 ** (machine.reverberation_db / 10)
        fade = np.exp(-grid.depth_cm / 1.4)[:, None].astype(np.float32)
        signal = signal + envelope(self.clutter) ** 2 * fade * 10 ** (machine.near_clutter_db / 10)
        signal = signal + np.exp(0.6 * self.tangle) * 10 ** (machine.haze_db / 10)
        echo_db = 10.0 * np.log10(signal + 1e-12) + self.pattern_db
        noise = self.rng.exponential(1.0, grid.shape).astype(np.float32) * 10 ** (
            machine.noise_db / 10
        )
        noise = noise * np.power(10.0, grid.depth_cm[:, None] * 0.05)
        return np.asarray(10.0 * np.log10(np.power(10.0, echo_db / 10.0) + noise), dtype=np.float32)

    def _levels(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Rasterise to levels in dB, with specular gain and drop-out, and a mask of blood."""
        machine, grid = self.grid.machine, self.grid
        level: np.ndarray = np.full(grid.shape, scene.background_db, dtype=np.float32)
        blood = np.zeros(grid.shape, dtype=np.uint8)
        for shape in scene.shapes:
            _rasterise(shape, grid, level, shape.level_db)
            _rasterise(shape, grid, blood, int(shape.blood and shape.width_cm == 0))
        level = self._warped(level)
        level = cv2.GaussianBlur(level, (0, 0), 0.7)
        axial = np.abs(cv2.Sobel(level, cv2.CV_32F, 0, 1, ksize=3)) / 8
        lateral = np.abs(cv2.Sobel(level, cv2.CV_32F, 1, 0, ksize=3)) / 8
        across = axial / (axial + lateral + 1e-3)
        edge = np.clip((axial + lateral) / 6.0, 0.0, 1.0)
        level = level + machine.specular_db * edge * across**2 * np.clip((level + 45) / 20, 0, 1)
        parallel = cv2.GaussianBlur(edge * (1.0 - across) ** 2, (0, 0), 2.0)
        level = level - machine.dropout_db * parallel * np.clip(self.tangle + 0.4, 0.0, 1.0)
        # After the edges were found: the side of a shadow reflects nothing.
        casting = [shape for shape in scene.shapes if shape.shadow_db > 0]
        if casting:
            level = level - self._warped(_shadow(casting, grid))
        return np.asarray(level), blood.astype(bool)

    def _warped(self, image: np.ndarray) -> np.ndarray:
        """Bend by the patient's fixed aberration, so that no outline is a perfect curve."""
        warp = self.grid.to_samples(self.grid.points + self.warp_cm).astype(np.float32)
        return cv2.remap(
            image, warp[..., 0], warp[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

    def _mottle_at(self, material: np.ndarray) -> np.ndarray:
        cells = (material * 12.0).astype(np.float32) + 256.0
        return np.asarray(
            cv2.remap(
                self.mottle,
                cells[..., 0],
                cells[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
        )


def _rasterise(shape: Shape, grid: PolarGrid, image: np.ndarray, value: float) -> None:
    """Draw a shape into an image ``(depths, beams)`` on the polar grid."""
    samples = np.round(grid.to_samples(shape.points) * (1 << _SHIFT)).astype(np.int32)
    if shape.width_cm > 0:
        thick = max(1, round(shape.width_cm * grid.shape[0] / grid.machine.depth_cm))
        cv2.polylines(image, [samples], False, value, thick, cv2.LINE_8, _SHIFT)
    else:
        cv2.fillPoly(image, [samples], value, cv2.LINE_8, _SHIFT)


def _shadow(casting: list[Shape], grid: PolarGrid) -> np.ndarray:
    """Loss in dB ``(depths, beams)``: it grows on the way through a shape and stays behind it."""
    loss = np.zeros(grid.shape, dtype=np.float32)
    for shape in casting:
        body = np.zeros(grid.shape, dtype=np.float32)
        _rasterise(shape, grid, body, 1.0)
        passed = np.cumsum(body, axis=0)
        # A beam that only grazes the shape loses less; a few samples are its full depth.
        depth = max(float(passed[-1].max()), 1.0)
        loss += shape.shadow_db * np.clip(passed / (0.5 * depth), 0.0, 1.0)
    return loss


def _mottle(rng: np.random.Generator, levels_db: tuple[float, float]) -> np.ndarray:
    """Uneven echogenicity of tissue at two scales, dB, on a 12 per cm lattice."""
    fine = cv2.GaussianBlur(rng.standard_normal((512, 512)).astype(np.float32), (0, 0), 3)
    coarse = cv2.GaussianBlur(rng.standard_normal((512, 512)).astype(np.float32), (0, 0), 10)
    return np.asarray(levels_db[0] * fine / fine.std() + levels_db[1] * coarse / coarse.std())


def _fixed_pattern(grid: PolarGrid, rng: np.random.Generator) -> np.ndarray:
    """Gains that stay over the clip: residual attenuation, sliders, beams, edges, shadows; dB."""
    machine = grid.machine
    depth_share = grid.depth_cm / machine.depth_cm
    tgc = np.interp(depth_share, np.linspace(0, 1, len(machine.tgc_db)), machine.tgc_db)
    along = tgc - machine.attenuation_db_cm * (grid.depth_cm - 0.4 * machine.depth_cm)
    share = (np.arange(grid.shape[1]) + 0.5) / grid.shape[1]
    beams = np.interp(share, np.linspace(0, 1, len(machine.beam_gain_db)), machine.beam_gain_db)
    beams = beams + rng.normal(0.0, 0.4, grid.shape[1])
    beams -= machine.edge_drop_db * np.abs(2 * share - 1) ** 3
    pattern = along[:, None] + beams[None, :]
    for centre, width, start, loss in machine.shadows:
        across = np.exp(-(((share - centre) / width) ** 2))
        below = 1.0 / (1.0 + np.exp(-(depth_share - start) / 0.03))
        pattern = pattern - loss * below[:, None] * across[None, :]
    return np.asarray(pattern, dtype=np.float32)


def _repeat(signal: np.ndarray, grid: PolarGrid) -> np.ndarray:
    """The first repeat of near structures: every echo once more at twice its depth."""
    source = (np.arange(grid.shape[0]) / 2).astype(int)
    return signal[source]
