"""Renders the chest X-ray of a simulated patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from train.phantom.chest_xray import bones, lungs
from train.phantom.chest_xray.exposure import draw_exposure, expose
from train.phantom.chest_xray.lateral import lateral_attenuation
from train.phantom.chest_xray.projection import (
    Camera,
    Image,
    cavity_path,
    ellipsoid_path,
    section_path,
)
from train.phantom.chest_xray.thorax import Ellipsoid, Thorax, draw_thorax
from train.phantom.patient import Patient

Projection = Literal["PA", "AP", "LL"]

_STREAM = 5309  # of the film, so that it does not repeat the draws of the patient
_SOFT = 0.19  # attenuation per cm of soft tissue at a chest film's tube voltage
_MOST = 12.0  # attenuation that a clean film shows white
_LUNG = 0.72  # share of it that a lung lacks


@dataclass(frozen=True, slots=True)
class PhantomXray:
    """A film and what is true of it.

    Attributes
    ----------
    pixels
        float32 ``(size, size)``, 0 to 1, air dark, bone bright.
    pixel_cm
        Pixel pitch at the detector.
    truth
        Scores, label, cardiothoracic ratio, calcium; ``heart_columns`` and ``thorax_columns``:
        left and right border in the film, pixels.
    """

    pixels: npt.NDArray[np.float32]
    pixel_cm: float
    truth: dict[str, Any]


def render_xray(
    patient: Patient,
    seed: int,
    size: int = 320,
    projection: Projection = "PA",
    clean: bool = False,
) -> PhantomXray:
    """Render a chest film.

    Parameters
    ----------
    patient
        Whose chest.
    seed
        Of the cohort; with the patient's number it decides everything that is drawn here.
    size
        Side of the film in pixels.
    projection
        PA standing, AP supine (shorter distance, heart far from the detector), or LL: from the
        side, which no network here reads.
    clean
        Without bones, vessels, markers and noise, grey in proportion to attenuation: to measure
        the shapes.
    """
    rng = np.random.default_rng([seed, patient.patient_id, _STREAM])
    thorax = draw_thorax(patient, rng)
    camera = _camera(thorax, patient.chest.rotation_deg, size, projection, rng)
    if projection == "LL":
        attenuation = lateral_attenuation(thorax, camera, rng)
    else:
        attenuation = _soft_tissue(thorax, camera, rng)
        if not clean:
            attenuation += _details(thorax, camera, patient.chest.arch_calcium, rng)
    exposure = draw_exposure(rng)
    if clean:
        grey = np.clip(attenuation / _MOST, 0.0, 1.0)
    else:
        grey = _marked(expose(attenuation, exposure, rng), rng)
    return PhantomXray(np.ascontiguousarray(grey), camera.pixel_cm, _truth(patient, thorax, camera))


def _camera(
    thorax: Thorax, turn: float, size: int, projection: Projection, rng: np.random.Generator
) -> Camera:
    field = 2 * thorax.half_width * rng.uniform(1.17, 1.5)
    shift = rng.normal(0.0, 0.02, 2) * field
    middle = -0.42 * thorax.height + shift[1]
    front = thorax.half_depth + thorax.fat + 2.5
    source, detector = (180.0, front) if projection != "AP" else (105.0, -front)
    return Camera(size, field / size, (float(shift[0]), float(middle)), turn, source, detector)


def _body_outline(
    thorax: Thorax, camera: Camera, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Half width and half depth of the body at each row: neck, shoulders, trunk."""
    _, z = camera.axes()
    z = z / camera.magnification(0.0)
    trunk = thorax.half_width + 1.2 + thorax.fat
    neck, shoulder = rng.uniform(5.2, 6.8), trunk + rng.uniform(3.0, 7.0)
    top = -thorax.height - rng.uniform(0.5, 2.5)
    knots = np.array([top - 9.0, top - 2.0, top + 1.5, top + 5.0, -0.45 * thorax.height, 0.0, 30.0])
    width = np.interp(z, knots, [neck, neck, 0.8 * shoulder, shoulder, trunk, trunk, trunk + 1.0])
    deep = thorax.half_depth + 1.0 + 0.8 * thorax.fat
    depth = np.interp(z, knots, [5.5, 5.8, 7.0, 0.85 * deep, deep, deep, deep + 1.5])
    kernel = max(3, round(2.0 / camera.pixel_cm) | 1)
    smooth = cv2.GaussianBlur(np.stack([width, depth], axis=1), (1, kernel), 0)
    return np.asarray(smooth[:, 0], np.float64), np.asarray(smooth[:, 1], np.float64)


def _soft_tissue(thorax: Thorax, camera: Camera, rng: np.random.Generator) -> Image:
    """Attenuation of body, lungs, heart and vessels."""
    body = section_path(*_body_outline(thorax, camera, rng), camera)
    organs = np.zeros((camera.size, camera.size), np.float32)
    for solid in (*thorax.heart, *thorax.vessels):
        one = np.zeros_like(organs)
        ellipsoid_path(solid, camera, one)
        np.maximum(organs, one, out=organs)
    cavity = cavity_path(thorax, camera)
    air = np.maximum(cavity - organs, 0.0)
    air *= 1.0 + 0.05 * lungs.texture(camera, rng)
    total = body - np.float32(_LUNG) * air
    if thorax.breast:
        for left in (-1.0, 1.0):
            place = (left * 0.52 * thorax.half_width, thorax.half_depth, 0.5 + rng.normal(0, 1.5))
            ellipsoid_path(Ellipsoid(place, (6.0, thorax.breast, 5.5)), camera, total)
    _gas(thorax, camera, total, rng)
    return np.asarray(_SOFT * total, np.float32)


def _gas(thorax: Thorax, camera: Camera, total: Image, rng: np.random.Generator) -> None:
    """Air in the windpipe, and in most stomachs and bowels."""
    removed = np.zeros_like(total)
    length = 0.32 * thorax.height
    windpipe = Ellipsoid((rng.normal(-0.2, 0.3), 1.0, -0.98 * thorax.height), (0.95, 0.95, length))
    ellipsoid_path(windpipe, camera, removed)
    for _ in range(int(rng.integers(0, 4))):
        place = (
            rng.uniform(0.1, 0.75) * thorax.half_width,
            0.0,
            thorax.dome_left + rng.uniform(1.8, 7.0),
        )
        size = rng.uniform(0.8, 2.8)
        gas = Ellipsoid(place, (size, size, size * rng.uniform(0.35, 0.8)), rng.uniform(-20, 20))
        ellipsoid_path(gas, camera, removed)
    total -= np.minimum(0.9 * removed, 0.6 * np.maximum(total, 0.0))


def _details(thorax: Thorax, camera: Camera, calcium: float, rng: np.random.Generator) -> Image:
    """Attenuation of bones, calcium and the lungs' vessels."""
    total = rng.uniform(0.14, 0.3) * bones.ribs(thorax, camera, rng)
    total += rng.uniform(0.2, 0.35) * bones.clavicles(thorax, camera, rng)
    total += rng.uniform(0.05, 0.2) * bones.shoulder_blades(thorax, camera, rng)
    total += rng.uniform(0.2, 0.45) * bones.spine(thorax, camera, rng)
    total += 0.75 * bones.arch_calcium(thorax, camera, calcium, rng)
    total += 0.3 * lungs.vessels(thorax, camera, rng)
    return np.asarray(total, np.float32)


def _marked(grey: Image, rng: np.random.Generator) -> Image:
    """Put a side marker into a corner and, on some films, the collimator's edges."""
    size = grey.shape[0]
    if rng.random() < 0.7:
        spot = (round(rng.uniform(0.06, 0.16) * size), round(rng.uniform(0.06, 0.16) * size))
        scale = rng.uniform(0.4, 0.7) * size / 320
        letter = np.zeros((size, size), np.uint8)
        cv2.putText(letter, "R", spot, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
        np.maximum(grey, letter.astype(np.float32) / 255, out=grey)
    if rng.random() < 0.3:
        edges = rng.integers(0, max(2, size // 22), 4)
        grey[: edges[0]] = grey[size - edges[1] :] = 0.0
        grey[:, : edges[2]] = grey[:, size - edges[3] :] = 0.0
    return grey


def _truth(patient: Patient, thorax: Thorax, camera: Camera) -> dict[str, Any]:
    turn = np.radians(camera.turn_deg)
    left, right = [], []
    for solid in thorax.heart:
        x, y, _ = solid.centre
        depth = y * np.cos(turn) - x * np.sin(turn)
        zoom = camera.magnification(float(depth))
        across = x * np.cos(turn) + y * np.sin(turn)
        matrix = solid.covariance()
        extent = np.hypot(np.sqrt(matrix[0, 0]) * np.cos(turn), solid.axes[1] * np.sin(turn))
        left.append((across - extent) * zoom)
        right.append((across + extent) * zoom)
    wide = np.hypot(thorax.half_width * np.cos(turn), thorax.half_depth * np.sin(turn))
    inner = wide * camera.magnification(0.0)
    offset = camera.size / 2 - camera.centre[0] / camera.pixel_cm
    heart = [min(left) / camera.pixel_cm + offset, max(right) / camera.pixel_cm + offset]
    thoracic = [-inner / camera.pixel_cm + offset, inner / camera.pixel_cm + offset]
    chest, scores = patient.chest, patient.scores
    return {
        "label": int(patient.stenosis_label),
        "score": scores.xray,
        "probability": scores.probability,
        "ecg_score": scores.ecg,
        "ctr": chest.cardiothoracic_ratio,
        "arch_calcium": chest.arch_calcium,
        "heart_columns": [round(float(v), 2) for v in heart],
        "thorax_columns": [round(float(v), 2) for v in thoracic],
    }
