"""Blends a heatmap, a border and a banner into the frames of a clip.

The picture of the source stays where it is; legend and banner stand in a strip that is added below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Box, ClipWindow
from node.results.banner import strip

_STRONGEST_ALPHA = 0.62
_FADE_IN = (0.12, 0.55)  # heat below the first is not shown, above the second fully
_BORDER_COLOUR = (64, 255, 160)
_SHIFT_BITS = 4  # polylines are drawn to a sixteenth of a pixel


@dataclass(frozen=True, slots=True)
class Heat:
    """A heatmap of a clip, in the resolution of the network.

    Attributes
    ----------
    maps
        0 to 1, float, ``(maps, rows, columns)``; values beyond are cut.
    window
        Where the maps lie in the source; None when they cover the whole frame.
    positions
        0-based source frame of the middle of each map, increasing, ``(maps,)``; None when the maps
        divide the clip evenly. Before the first and after the last position the heat stays.
    """

    maps: npt.NDArray[np.floating]
    window: ClipWindow | None = None
    positions: npt.NDArray[np.floating] | None = None


def blend(
    colour: npt.NDArray[np.uint8],
    heat: Heat | None,
    outlines: Mapping[int, npt.NDArray[np.floating]],
    banner: str,
) -> npt.NDArray[np.uint8]:
    """Draw what a network saw over the frames of a clip.

    Parameters
    ----------
    colour
        Source frames, uint8 RGB, ``(frames, rows, columns, 3)``; not changed.
    heat
        Shown with the colour map inferno, the more opaque the hotter; None for no heat.
    outlines
        For some frames (0-based) a closed border, ``(points, 2)`` as (column, row) in the source,
        (0, 0) at the corner of the first pixel.
    banner
        One line of text, broken where the image is narrow.

    Returns
    -------
    uint8 RGB, ``(frames, rows + strip, columns, 3)``.
    """
    count, rows, columns = colour.shape[:3]
    below = strip(banner, columns, _legend_colours() if heat is not None else None)
    blended = np.empty((count, rows + len(below), columns, 3), np.uint8)
    blended[:, rows:] = below
    tables = _tables()
    for index in range(count):
        frame = blended[index, :rows]
        frame[:] = colour[index]
        if heat is not None:
            _add_heat(frame, _heat_at(heat, index, count), heat.window, tables)
        if index in outlines:
            _add_outline(frame, outlines[index])
    return blended


def _heat_at(heat: Heat, index: int, count: int) -> npt.NDArray[np.uint8]:
    """Interpolate the maps in time for one frame; uint8, ``(rows, columns)``."""
    number = len(heat.maps)
    if heat.positions is None:
        position = (index + 0.5) * number / count - 0.5
    else:
        position = float(np.interp(index, heat.positions, np.arange(number)))
    position = min(max(position, 0.0), number - 1.0)
    first = int(position)
    second = min(first + 1, number - 1)
    share = position - first
    mixed = heat.maps[first] * (1 - share) + heat.maps[second] * share
    values: npt.NDArray[np.uint8] = (np.clip(np.nan_to_num(mixed), 0, 1) * 255).astype(np.uint8)
    return values


def _add_heat(
    frame: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.uint8],
    window: ClipWindow | None,
    tables: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
) -> None:
    """Blend one map into one frame, in place."""
    rows, columns = frame.shape[:2]
    box = window.box if window is not None else Box(0, 0, columns, rows)
    x0, y0, x1, y1 = max(box.x0, 0), max(box.y0, 0), min(box.x1, columns), min(box.y1, rows)
    if x0 >= x1 or y0 >= y1:
        return
    large = cv2.resize(heat, (box.width, box.height), interpolation=cv2.INTER_CUBIC)
    inside = np.ascontiguousarray(large[y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0])
    target = frame[y0:y1, x0:x1]
    weighted_colour, transparency = tables
    # frame * (1 - alpha) + colour * alpha, with both factors looked up per heat value
    kept = cv2.multiply(target, cv2.applyColorMap(inside, transparency), scale=1 / 255)
    target[:] = cv2.add(kept, cv2.applyColorMap(inside, weighted_colour))


def _add_outline(frame: npt.NDArray[np.uint8], points: npt.NDArray[np.floating]) -> None:
    """Draw a closed border with a dark rim, so that it is seen on bright and dark tissue."""
    # cv2 counts from pixel centres, DICOM from the corner of the first pixel
    fixed = np.round((np.asarray(points, np.float64) - 0.5) * (1 << _SHIFT_BITS)).astype(np.int32)
    width = max(1, round(min(frame.shape[:2]) / 300))
    for colour, thickness in (((0, 0, 0), width + 2), (_BORDER_COLOUR, width)):
        cv2.polylines(frame, [fixed], True, colour, thickness, cv2.LINE_AA, _SHIFT_BITS)


def _legend_colours() -> npt.NDArray[np.uint8]:
    """Colour of each heat value, uint8 RGB, ``(256, 3)``."""
    values = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[:, 0, ::-1])


def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Colour times alpha, and 255 times (1 - alpha), per heat value; both ``(256, 1, 3)``."""
    fade_from, fade_to = _FADE_IN
    ramp = np.clip((np.arange(256) / 255 - fade_from) / (fade_to - fade_from), 0, 1)
    alpha = (_STRONGEST_ALPHA * ramp * ramp * (3 - 2 * ramp))[:, None]
    weighted = np.round(_legend_colours() * alpha).astype(np.uint8)
    transparency = np.repeat(np.round(255 * (1 - alpha)).astype(np.uint8), 3, axis=1)
    return weighted[:, None, :], transparency[:, None, :]
