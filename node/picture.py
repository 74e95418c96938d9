"""Draws what a finding saw over the source's frames, and wraps it as a capture."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from models.inputs import Clip, Still
from node.findings.base import Explanation
from node.results.overlay import Heat, blend
from node.results.primitives import Algorithm
from node.results.secondary_capture import CaptureContext, build_capture


def draw_capture(
    source: Clip | Still,
    explanation: Explanation,
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
    """Blend heat and borders into the frames and build the capture.

    Parameters
    ----------
    source, header
        The decoded instance and its header.
    explanation
        Where the network looked.
    created_at
        From the ledger, so that a repeated attempt writes the same bytes.

    Raises
    ------
    InvalidResultError
        The frames can't be written.
    """
    colour = source.colour if isinstance(source, Clip) else source.colour[None]
    banner = f"{explanation.headline} - RESEARCH USE ONLY - {algorithm.statement}"
    heat = Heat(explanation.maps, explanation.window, explanation.positions)
    frames = blend(colour, heat, spread_outlines(explanation.outlines, len(colour)), banner)
    context = CaptureContext(
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        series_number=series_number,
        created_at=created_at,
        node_version=node_version,
        device_uid=device_uid,
        title=title,
        algorithm=algorithm,
        method=explanation.method,
    )
    return build_capture(header, frames, context)


def spread_outlines(
    outlines: Mapping[int, npt.NDArray[np.float64]], frames: int
) -> dict[int, npt.NDArray[np.float64]]:
    """Draw on every frame the outline of the frame nearest to it that has one."""
    if not outlines:
        return {}
    known = np.array(sorted(outlines))
    nearest = [int(known[np.abs(known - frame).argmin()]) for frame in range(frames)]
    return {frame: outlines[at] for frame, at in enumerate(nearest)}
