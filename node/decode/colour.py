"""Stored samples to what a screen shows, 8 bits RGB, and the search for colour Doppler in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from node.decode.codec import Frame
from node.decode.layout import PixelLayout
from node.errors import BadObjectError

Rgb = npt.NDArray[np.uint8]
_LUT_ATTRIBUTES = (
    "RedPaletteColorLookupTable",
    "GreenPaletteColorLookupTable",
    "BluePaletteColorLookupTable",
)
_LIT, _COLOURED, _SATURATION = 24, 60, 0.4
# Share of the lit pixels in coloured patches; real B-mode stays under 0.002, colour over 0.05.
COLOUR_SHARE = 0.01


def display(ds: Dataset, layout: PixelLayout) -> Callable[[Frame], Rgb]:
    """Return the function that turns a stored frame into RGB, uint8, ``(rows, columns, 3)``.

    Parameters
    ----------
    ds
        The header, for the palette.
    layout
        Of the frames that the function will be given.

    Raises
    ------
    BadObjectError
        A palette image has no palette.
    """
    if layout.photometric == "PALETTE COLOR":
        palette = _palette(ds, layout)
        return lambda frame: palette[frame.samples.astype(np.intp)]
    if layout.samples == 1:
        return lambda frame: _grey_to_rgb(_to_8_bits(frame.samples, layout), layout)
    return lambda frame: _colour_to_rgb(frame, layout)


def luminance(rgb: Rgb) -> npt.NDArray[np.uint8]:
    """Return ITU-R BT.601 luminance, the Y plane of a YBR image, ``(rows, columns)``."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.uint8)


def colour_share(rgb: Rgb) -> float:
    """Return how much of the lit image is covered by patches of strong, changing colour.

    Lines and text (an ECG trace, a caption) are thinner than a patch, a tinted grey map is not
    saturated, and a coloured title bar does not change.

    Parameters
    ----------
    rgb
        One frame, or the B-mode region of it, ``(rows, columns, 3)``.

    Returns
    -------
    0 to 1.
    """
    red, green, blue = cv2.split(rgb)
    low = np.asarray(cv2.min(cv2.min(red, green), blue))
    high = np.asarray(cv2.max(cv2.max(red, green), blue))
    lit = int(np.count_nonzero(high > _LIT))
    if not lit:
        return 0.0
    span = high - low
    coloured = ((span > _COLOURED) & (span > _SATURATION * high)).astype(np.uint8)
    side = max(3, rgb.shape[0] // 240 * 2 + 1)  # a patch, in proportion to how the text is drawn
    patches = cv2.morphologyEx(coloured, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    nearby = np.ones((5, 5), np.uint8)
    changing = cv2.dilate(high, nearby).astype(np.int16) - cv2.erode(high, nearby) > 8
    return float(np.count_nonzero(patches.astype(bool) & changing)) / lit


def _palette(ds: Dataset, layout: PixelLayout) -> Rgb:
    for name in _LUT_ATTRIBUTES:
        has_data = f"{name}Data" in ds or f"Segmented{name}Data" in ds
        if f"{name}Descriptor" not in ds or not has_data:
            raise BadObjectError("a palette image without its palette")
    if layout.signed:
        raise BadObjectError("a palette image with signed samples")
    # Every index that the stored bits can hold; those beyond the table get its last entry.
    indices = np.arange(1 << layout.bits_stored, dtype=np.uint16)
    table = np.asarray(apply_color_lut(indices[np.newaxis, :], ds))[0, :, :3]
    if table.dtype.itemsize > 1 and table.max() > 255:
        return (table >> 8).astype(np.uint8)
    return table.astype(np.uint8)  # 16-bit entries that hold 8-bit values: a known habit


def _to_8_bits(samples: npt.NDArray[Any], layout: PixelLayout) -> npt.NDArray[np.uint8]:
    values = samples.astype(np.int32)
    if layout.signed:
        values += 1 << (layout.bits_stored - 1)
    if layout.bits_stored > 8:
        values >>= layout.bits_stored - 8
    elif layout.bits_stored < 8:
        values <<= 8 - layout.bits_stored
    return values.astype(np.uint8)


def _grey_to_rgb(grey: npt.NDArray[np.uint8], layout: PixelLayout) -> Rgb:
    shown = 255 - grey if layout.photometric == "MONOCHROME1" else grey
    return np.repeat(shown[..., np.newaxis], 3, axis=2)


def _colour_to_rgb(frame: Frame, layout: PixelLayout) -> Rgb:
    samples = frame.samples
    if samples.dtype != np.uint8 or layout.bits_stored != 8:
        samples = _to_8_bits(samples, layout)
    if frame.is_rgb or layout.photometric == "RGB":
        return np.asarray(samples, np.uint8)
    y, cb, cr = (samples[..., channel].astype(np.float32) for channel in range(3))
    cb, cr = cb - 128.0, cr - 128.0
    if layout.photometric == "YBR_PARTIAL_422":  # 16 to 235 and 16 to 240, PS3.3 C.7.6.3.1.2
        y, cb, cr = (y - 16.0) * (255 / 219), cb * (255 / 224), cr * (255 / 224)
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), np.uint8)
