"""Virtual M-mode strips across the septum of apical four-chamber cines, with septal flash or none.

Per patient one heart cycle of a cine and 11 parallel lines. The patients that are trained on get
their lines from the true border, displaced at random; those that are validated and tested on get
them from the border that Echo-E3Net finds, as in the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from models.preprocess import CLIP_LENGTH, CLIP_PERIOD, clip_starts, window_frames
from models.virtual_m_mode import (
    FRAME_SIDE,
    INPUT_SIDE,
    OFFSETS,
    HeartCycle,
    Points,
    ScanLine,
    Variant,
    choose_cycle,
    draw_strip,
    network_input,
    scan_line,
    septum_points,
)
from models.weights import load_network
from train.datasets.phantom import resize
from train.phantom.clip import PhantomClip, Resolution, render_clip
from train.phantom.heart_cycle import Cycle
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.patient import Patient, draw_patient
from train.splits import split_of

VARIANTS: tuple[Variant, ...] = ("cropped", "whole")
_RESOLUTION = Resolution(render=FRAME_SIDE, size=FRAME_SIDE)
_LONG = 160  # frames of which one cycle is kept: two of the slowest hearts at most frames a second
_NEEDED = (CLIP_LENGTH - 1) * CLIP_PERIOD + 1
_LEAST_RATE, _MOST_RATE = 45.0, 62.0
# what a detected border is beside the true one, as standard deviations: shares of the side, degrees
_SHIFT, _TURN_DEG, _ROUGHNESS = 0.012, 3.0, 0.004


class SeptumPart:
    """``septum_cropped.npy`` and ``septum_whole.npy``, uint8 ``(11 x patients, 256, 256)``."""

    name = "septum"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """Both variants of every strip."""
        return {variant: ArraySpec(len(OFFSETS), (INPUT_SIDE, INPUT_SIDE)) for variant in VARIANTS}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render a cycle and lay the lines."""
        patient = draw_patient(patient_id, plan.seed)
        detects = split_of(patient_id) != "train"
        chosen = _detected if detects else _one_cycle
        # a fast heart's cycle needs a faster cine for its 30 frames
        slowest = min(max(_LEAST_RATE, 31.5 * patient.heart_rate_bpm / 60.0), _MOST_RATE - 1.0)
        clip = render_clip(
            patient, "A4C", plan.seed, _LONG, _RESOLUTION,
            only=chosen, frame_rates=(slowest, _MOST_RATE),
        )  # fmt: skip
        first = chosen(clip.cycle)[0]
        times = clip.cycle.times_ms[first : first + len(clip.frames)]
        cycle = _cycle_of(clip.cycle)
        if clip.borders is None:
            raise ValueError("an apical clip without borders")
        if detects:
            border = _detected_border(clip.frames)
        else:
            border = _displaced(clip.borders[0], np.random.default_rng([plan.seed, patient_id, 9]))
        strips: dict[str, list[np.ndarray]] = {variant: [] for variant in VARIANTS}
        rows = []
        points = septum_points(border)
        for offset in OFFSETS:
            line = scan_line(points, border, offset=offset)
            strip = draw_strip(clip.frames, times, line, cycle)
            for variant in VARIANTS:
                strips[variant].append(network_input(strip, variant))
            rows.append(_row(patient, clip, cycle, line, offset, detects))
        return Rendered({name: np.stack(images) for name, images in strips.items()}, rows)


def _cycle_of(cycle: Cycle) -> HeartCycle:
    return choose_cycle(cycle.r_peaks_ms, cycle.times_ms, least_frames=20)


def _one_cycle(cycle: Cycle) -> list[int]:
    """The chosen cycle's frames, and one more on each side to interpolate."""
    chosen = _cycle_of(cycle)
    inside = (cycle.times_ms >= chosen.start_ms) & (cycle.times_ms <= chosen.end_ms)
    frames = np.flatnonzero(inside)
    last = len(cycle.times_ms) - 1
    return list(range(max(int(frames[0]) - 1, 0), min(int(frames[-1]) + 1, last) + 1))


def _detected(cycle: Cycle) -> list[int]:
    """The same, and as many frames around it as the border's network needs."""
    frames = _one_cycle(cycle)
    first = max(min(frames[0], len(cycle.times_ms) - _NEEDED), 0)
    return list(range(first, max(frames[-1] + 1, first + _NEEDED)))


@lru_cache(maxsize=1)
def _border_network() -> nn.Module:
    torch.set_num_threads(1)
    return load_network("echo_e3net")[0]


def _detected_border(frames: np.ndarray) -> Points:
    """The border at end-diastole, averaged over the clip's starts as the node does."""
    reduced = resize(frames, 112)
    starts = clip_starts(len(reduced), stride=4)
    clips = np.stack([window_frames(reduced, start)[0] for start in starts])
    with torch.inference_mode():
        prediction = _border_network()(torch.from_numpy(clips)[:, None])
    return np.asarray(prediction.borders[:, 0].mean(0).numpy(), dtype=np.float64)


def _displaced(border: np.ndarray, rng: np.random.Generator) -> Points:
    """A border as a network would find it: shifted, turned, uneven."""
    points = border.reshape(-1, 2, 2)
    middle = points.mean((0, 1))
    angle = np.deg2rad(rng.normal(0.0, _TURN_DEG))
    c, s = np.cos(angle), np.sin(angle)
    turned = (points - middle) @ np.array([[c, s], [-s, c]])
    moved = turned + middle + rng.normal(0.0, _SHIFT, 2)
    return np.asarray((moved + rng.normal(0.0, _ROUGHNESS, moved.shape)).reshape(-1, 4))


def _row(
    patient: Patient,
    clip: PhantomClip,
    cycle: HeartCycle,
    line: ScanLine,
    offset: int,
    detects: bool,
) -> dict[str, Any]:
    conduction = patient.conduction
    return {
        "patient_id": patient.patient_id,
        "offset": offset,
        "has_flash": conduction.has_flash,
        "flash_cm": round(conduction.flash_cm, 4),
        "lbbb": conduction.lbbb,
        "rhythm": conduction.rhythm,
        "borders": "echo_e3net" if detects else "true, displaced",
        "cycle_ms": [round(cycle.start_ms, 2), round(cycle.end_ms, 2)],
        "frame_time_ms": round(clip.frame_time_ms, 4),
        "side_cm": round(float(clip.side_cm), 4),
        "line": [round(v, 5) for v in (*line.start, *line.end)],
        "band": round(line.band, 5),
    }
