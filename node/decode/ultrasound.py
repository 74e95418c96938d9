"""Ultrasound instances to a Clip, a Still or a Strip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from models.inputs import Box, Clip, Still, Strip
from node.decode.colour import COLOUR_SHARE, colour_share, display, luminance
from node.decode.layout import PixelLayout
from node.decode.pixels import PixelElement, stored_frames
from node.decode.regions import b_mode_region, ecg_strip
from node.decode.scratch import Scratch
from node.decode.timing import frame_times
from node.errors import BadObjectError
from node.facts import InstanceFacts

_FRAMES_SEARCHED_FOR_COLOUR = 8
_LARGEST_ECG_STRIP = 0.4  # of the image; a larger one is not a strip beside or below the sector


@dataclass(frozen=True, slots=True)
class ColourSeen:
    """The pixels show colour Doppler though the header does not say so."""

    share: float


def decode_ultrasound(
    ds: Dataset,
    element: PixelElement,
    layout: PixelLayout,
    facts: InstanceFacts,
    scratch: Scratch,
) -> tuple[Clip | Still | Strip | ColourSeen, tuple[str, ...]]:
    """Decode an ultrasound instance without an obstacle.

    Parameters
    ----------
    ds, element, layout, facts
        Of the same instance.
    scratch
        Where the large arrays go.

    Returns
    -------
    The typed input, or that colour Doppler was seen; and what was unusual, for people.

    Raises
    ------
    BadObjectError
        The frames contradict the header.
    """
    strip = facts.kind == "strip"
    grey, colour, share = _frames(ds, element, layout, facts, scratch)
    if share >= COLOUR_SHARE and not strip:
        return ColourSeen(share), ()
    if strip:
        return _strip(grey[0], facts), ()
    region = b_mode_region(facts.regions)
    trace, notes = _mask_ecg(grey, facts)
    notes += _unusual(facts)
    box = region.box if region else None
    if facts.kind == "still":
        return Still(grey[0], colour[0], facts.pixel_spacing_mm, box, trace), tuple(notes)
    times, _ = frame_times(ds, layout.frames)
    if times is None:
        raise BadObjectError("no frame time")
    clip = Clip(
        frames=grey,
        colour=colour,
        frame_times_ms=times,
        pixel_spacing_mm=facts.pixel_spacing_mm,
        region=box,
        ecg_strip=trace,
        r_wave_times_ms=facts.r_wave_times_ms,
        heart_rate_bpm=facts.heart_rate_bpm,
    )
    return clip, tuple(notes)


Grey = npt.NDArray[np.uint8]


def _frames(
    ds: Dataset,
    element: PixelElement,
    layout: PixelLayout,
    facts: InstanceFacts,
    scratch: Scratch,
) -> tuple[Grey, Grey, float]:
    """Decode all frames, or as many as it takes to see colour Doppler."""
    shape = (layout.frames, layout.rows, layout.columns)
    to_rgb = display(ds, layout)
    searched = set(
        np.linspace(0, layout.frames - 1, _FRAMES_SEARCHED_FOR_COLOUR).astype(int).tolist()
    )
    may_have_colour = not layout.photometric.startswith("MONOCHROME")
    grey, colour = scratch.allocate(shape, np.uint8), scratch.allocate((*shape, 3), np.uint8)
    share = 0.0
    for number, frame in enumerate(stored_frames(ds, element, layout)):
        rgb = to_rgb(frame)
        colour[number] = rgb
        grey[number] = luminance(rgb)
        if may_have_colour and number in searched:
            share = max(share, colour_share(_b_mode_part(rgb, facts)))
            if share >= COLOUR_SHARE:
                break
    return grey, colour, share


def _b_mode_part(rgb: Grey, facts: InstanceFacts) -> Grey:
    region = b_mode_region(facts.regions)
    if region is None:
        return rgb
    box = region.box
    return rgb[box.y0 : box.y1, box.x0 : box.x1]


def _mask_ecg(grey: Grey, facts: InstanceFacts) -> tuple[Box | None, list[str]]:
    box = ecg_strip(facts.regions)
    if box is None:
        return None, []
    if box.width * box.height > _LARGEST_ECG_STRIP * facts.rows * facts.columns:
        return None, ["an ECG region that covers most of the image is ignored"]
    grey[:, box.y0 : box.y1, box.x0 : box.x1] = 0
    return box, ["the ECG strip is masked"]


def _unusual(facts: InstanceFacts) -> list[str]:
    count = sum(region.is_b_mode and region.valid for region in facts.regions)
    return [f"{count} B-mode regions: the largest is used"] if count > 1 else []


def _strip(grey: Grey, facts: InstanceFacts) -> Strip:
    region = next(item for item in facts.regions if item.is_m_mode and item.valid)
    box = region.box
    return Strip(
        image=np.ascontiguousarray(grey[box.y0 : box.y1, box.x0 : box.x1]),
        time_step_ms=region.delta_x_ms or 0.0,
        depth_step_mm=region.delta_y_mm,
    )
