"""From attenuation to grey: Beer-Lambert, scatter, quantum noise, and a digital film's display."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.phantom.chest_xray.projection import Image


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a film is exposed and shown.

    Attributes
    ----------
    quanta
        Detected per pixel of unattenuated beam.
    scatter
        Scattered by primary radiation behind the body.
    enhancement
        Strength of the local contrast enhancement of digital systems.
    low, high
        Share of the displayed range that the film's darkest and brightest parts take.
    gamma, shoulder
        Of the display curve: power of the dark part; how much bright parts are compressed, 1 for
        not at all.
    """

    quanta: float
    scatter: float
    enhancement: float
    low: float
    high: float
    gamma: float
    shoulder: float


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw an exposure; real films differ most in how much of the range they use."""
    low = rng.uniform(0.0, 0.3) if rng.random() < 0.5 else rng.uniform(0.0, 0.08)
    return Exposure(
        quanta=float(np.exp(rng.uniform(np.log(2e4), np.log(3e5)))),
        scatter=rng.uniform(0.1, 0.7),
        enhancement=rng.uniform(0.0, 0.9),
        low=low,
        high=low + rng.uniform(0.35, 0.95) * (1.0 - low),
        gamma=rng.uniform(0.8, 1.4),
        shoulder=rng.uniform(1.0, 1.7),
    )


def expose(attenuation: Image, exposure: Exposure, rng: np.random.Generator) -> Image:
    """Turn attenuation (natural logarithms) into grey 0 to 1, bone bright.

    Scatter is the primary image blurred widely; noise is Poisson's, as a normal deviate.
    """
    primary = np.exp(-attenuation)
    small = cv2.resize(primary, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(small, (0, 0), 0.1 * small.shape[0])
    size = (primary.shape[1], primary.shape[0])
    scattered = cv2.resize(wide, size, interpolation=cv2.INTER_LINEAR)
    quanta = exposure.quanta * (primary + exposure.scatter * scattered)
    noise = rng.standard_normal(primary.shape, dtype=np.float32)
    detected = np.maximum(quanta + np.sqrt(quanta) * noise, 1.0)
    grey = -np.log(detected / np.float32(exposure.quanta))
    local = cv2.GaussianBlur(
        cv2.resize(grey, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
        (0, 0),
        0.012 * primary.shape[0],
    )
    grey += np.float32(exposure.enhancement) * (
        grey - cv2.resize(local, size, interpolation=cv2.INTER_LINEAR)
    )
    return _display(grey, exposure)


def _display(grey: npt.NDArray[np.float32], exposure: Exposure) -> Image:
    inner = grey[::4, ::4]
    darkest, brightest = np.percentile(inner, (1.0, 99.5))
    share = np.clip((grey - darkest) / max(float(brightest - darkest), 1e-3), 0.0, 1.0)
    share = 1.0 - (1.0 - share**exposure.gamma) ** exposure.shoulder
    curved = exposure.low + (exposure.high - exposure.low) * share
    return np.clip(curved, 0.0, 1.0).astype(np.float32)
