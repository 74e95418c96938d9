"""One simulated cine: frames, and everything that is known about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from train.phantom.heart_cycle import Cycle, draw_cycle
from train.phantom.patient import Patient
from train.phantom.shapes import Scene, draw_levels
from train.phantom.ultrasound.beams import BeamFormer
from train.phantom.ultrasound.display import ScanConverter, grey
from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.machine import Machine, draw_machine
from train.phantom.views.apical import ApicalView
from train.phantom.views.other import draw_other
from train.phantom.views.parasternal import LongAxisView, Plane, ShortAxisView

VIEWS = ("PLAX", "PSAX", "A4C", "A2C", "other")
_STREAMS = {name: number for number, name in enumerate(VIEWS)}


class View(Protocol):
    """What every view offers."""

    def scene(self, cycle: Cycle, frame: int) -> Scene:
        """What the probe sees at one frame."""
        ...


@dataclass(frozen=True, slots=True)
class PhantomClip:
    """A simulated cine with its truth.

    Attributes
    ----------
    frames
        uint8 ``(frames, size, size)``: the square window around the sector.
    view
        One of :data:`VIEWS`.
    cycle
        Heart phases of the frames.
    frame_time_ms
        Time between frames.
    borders
        Endocardial chords at end-diastole and end-systole as fractions of the window,
        ``(2, 20, 4)``; None for views in which they are not defined.
    side_cm
        Side of the window.
    machine
        What it was recorded with.
    valve_boxes
        The aortic valve of each frame as fractions of the window, ``(frames, 4)``: x0, y0, x1, y1;
        None where a short-axis cut does not show it, and in views other than PLAX and PSAX.
    """

    frames: np.ndarray
    view: str
    cycle: Cycle
    frame_time_ms: float
    borders: np.ndarray | None
    side_cm: float
    machine: Machine
    valve_boxes: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Sampling of a clip: the cohort's, or a display's.

    Attributes
    ----------
    depths, beams
        Samples of the polar grid.
    render, size
        Side of the window as it is scan converted, and as it is handed out, pixels.
    centred
        Leave out the machine's random shift of the window. A cohort keeps it: it stands for the
        node's imperfect crop. On a screen it would cut off the sector's edge.
    """

    depths: int = 160
    beams: int = 112
    render: int = 224
    size: int = 112
    centred: bool = False


def render_clip(
    patient: Patient,
    view: str,
    seed: int,
    frame_count: int,
    resolution: Resolution | None = None,
    only: Sequence[int] | Callable[[Cycle], Sequence[int]] | None = None,
    plane: Plane | None = None,
    frame_rates: tuple[float, float] = (25.0, 62.0),
) -> PhantomClip:
    """Simulate one cine of a patient.

    Parameters
    ----------
    patient
        Whose heart.
    view
        One of :data:`VIEWS`.
    seed
        The cohort's seed.
    frame_count
        Length.
    resolution
        Sampling; the cohort's when None.
    only
        Render just these frames (the others are left out), for sets of single frames; or what
        chooses them by the heart's phase.
    plane
        Level of a PSAX cut; drawn when None.
    frame_rates
        Between which the frame rate is drawn, per second.
    """
    resolution = resolution or Resolution()
    rng = np.random.default_rng([seed, patient.patient_id, _STREAMS[view] + 1])
    frame_time_ms = 1000.0 / rng.uniform(*frame_rates)
    cycle = draw_cycle(frame_count, frame_time_ms, patient.heart_rate_bpm, rng, patient.conduction)
    levels = draw_levels(rng)
    scenes: View
    if view in ("A4C", "A2C"):
        scenes = ApicalView(patient, 4 if view == "A4C" else 2, levels, rng)
        needed = scenes.apex[1] + patient.length_cm + 0.75 * patient.atrium_cm
    elif view == "PLAX":
        scenes, needed = LongAxisView(patient, levels, rng), rng.uniform(12.0, 17.0)
    elif view == "PSAX":
        scenes, needed = ShortAxisView(patient, levels, rng, plane), rng.uniform(11.5, 16.0)
    else:
        scenes, needed = draw_other(patient, levels, rng), rng.uniform(9.0, 18.0)
    machine = draw_machine(rng, needed)
    if resolution.centred:
        machine = replace(machine, shift=(0.0, 0.0))
    grid = PolarGrid(machine, resolution.depths, resolution.beams)
    former = BeamFormer(grid, rng)
    converter = ScanConverter(grid, resolution.render)
    chosen = range(frame_count) if only is None else only(cycle) if callable(only) else only
    frames = np.empty((len(chosen), resolution.size, resolution.size), dtype=np.uint8)
    for at, frame in enumerate(chosen):
        window = converter.convert(grey(former.form(scenes.scene(cycle, frame)), machine))
        if resolution.size != resolution.render:
            window = cv2.resize(
                window, (resolution.size, resolution.size), interpolation=cv2.INTER_AREA
            )
        frames[at] = window
    borders = None
    if isinstance(scenes, ApicalView):
        chords = np.stack([scenes.chords(0.0), scenes.chords(1.0)])
        borders = converter.to_window(chords.reshape(2, -1, 2, 2)).reshape(2, -1, 4)
    valve_boxes = None
    if isinstance(scenes, LongAxisView) or (
        isinstance(scenes, ShortAxisView) and scenes.plane == "aortic"
    ):
        rings = [converter.to_window(scenes.valve_outline(cycle, frame)) for frame in chosen]
        corners = [np.concatenate([r.min(0), r.max(0)]) for r in rings]
        valve_boxes = np.array(corners, np.float64).reshape(-1, 4)
    return PhantomClip(
        frames, view, cycle, frame_time_ms, borders, converter.side_cm, machine, valve_boxes
    )
