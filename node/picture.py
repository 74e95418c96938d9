"""Draws what a finding saw over the source's frames, and wraps it as a capture."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from models.inputs import Box, Clip, ClipWindow, Radiograph, Still, TypedInput
from node.errors import InvalidResultError
from node.findings.base import Drawing, Explanation
from node.results.overlay import Heat, blend
from node.results.primitives import Algorithm
from node.results.secondary_capture import CaptureContext, build_capture

#: A radiograph has up to 20 million pixels; heat is not finer than the network's map.
_LONGEST_SIDE = 1024


def draw_capture(
    source: TypedInput,
    shown: Explanation | Drawing,
    header: Dataset,
    *,
    title: str,
    algorithm: Algorithm,
    sop_instance_uid: str,
    series_instance_uid: str,
    series_number: int,
    created_at: datetime,
    node_version: str,
    device_uid: str,
) -> Dataset:
    """Blend heat and borders into the source's frames, or take a drawing; build the capture.

    Parameters
    ----------
    source, header
        The decoded instance and its header.
    shown
        Where the network looked.
    created_at
        From the ledger, so that a repeated attempt writes the same bytes.

    Raises
    ------
    InvalidResultError
        The frames can't be written, or the source has none to blend into.
    """
    words = f"{shown.headline} - RESEARCH USE ONLY - {algorithm.statement}"
    if isinstance(shown, Drawing):
        frames = blend(shown.frames, None, {}, words)
    else:
        frames = _explained(source, shown, words)
    context = CaptureContext(
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        series_number=series_number,
        created_at=created_at,
        node_version=node_version,
        device_uid=device_uid,
        title=title,
        algorithm=algorithm,
        method=shown.method,
    )
    return build_capture(header, frames, context)


def _explained(source: TypedInput, shown: Explanation, words: str) -> npt.NDArray[np.uint8]:
    colour, scale = displayed_frames(source)
    heat = Heat(shown.maps, _scaled(shown.window, scale), shown.positions)
    outlines = spread_outlines(shown.outlines, len(colour))
    return blend(colour, heat, {at: scale * points for at, points in outlines.items()}, words)


def displayed_frames(source: TypedInput) -> tuple[npt.NDArray[np.uint8], float]:
    """A source's frames as a person sees them, radiographs reduced to a screen's size.

    Returns
    -------
    RGB, ``(frames, rows, columns, 3)``, and how many of its pixels one of the source is.

    Raises
    ------
    InvalidResultError
        The source is no image.
    """
    if isinstance(source, Clip):
        return source.colour, 1.0
    if isinstance(source, Still):
        return source.colour[None], 1.0
    if not isinstance(source, Radiograph):
        raise InvalidResultError("the source has no frames to draw over")
    grey = np.round(255 * np.clip(source.pixels, 0.0, 1.0)).astype(np.uint8)
    scale = min(1.0, _LONGEST_SIDE / max(grey.shape))
    if scale < 1.0:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.repeat(grey[None, :, :, None], 3, axis=3), scale


def _scaled(window: ClipWindow, scale: float) -> ClipWindow:
    box = window.box
    x0, y0, x1, y1 = (round(scale * edge) for edge in (box.x0, box.y0, box.x1, box.y1))
    return ClipWindow(Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), window.size)


def spread_outlines(
    outlines: Mapping[int, npt.NDArray[np.float64]], frames: int
) -> dict[int, npt.NDArray[np.float64]]:
    """Draw on every frame the outline of the frame nearest to it that has one."""
    if not outlines:
        return {}
    known = np.array(sorted(outlines))
    nearest = [int(known[np.abs(known - frame).argmin()]) for frame in range(frames)]
    return {frame: outlines[at] for frame, at in enumerate(nearest)}
