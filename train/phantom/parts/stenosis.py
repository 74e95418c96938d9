"""Single frames of the four standard views with the state of the aortic valve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.phantom.clip import PhantomClip, render_clip
from train.phantom.heart_cycle import Cycle
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.parts.ef import CLIP_FRAMES
from train.phantom.patient import draw_patient
from train.phantom.sampling import draw_resolution
from train.phantom.views.parasternal import Plane

#: Frames of each view: more of those that show the valve.
FRAMES = {"PLAX": 4, "PSAX": 4, "A4C": 1, "A2C": 1}
#: Share of short axes at the aortic valve: the level that TMED-2 labels PSAX.
_AORTIC_SHARE = 0.85
#: The valve is wide open: half of a view's frames are drawn from these.
OPEN = 0.6
_STREAM = 300


class StenosisPart:
    """``stenosis_frames.npy``, uint8 ``(patients x 10, 112, 112)``.

    A row says the view, the clip, the valve's grade and area, the phase in the heart cycle (0 at
    the R peak), how open the valve is at that moment of the cycle, 0 to 1, and where it is
    (``valve_at``, x and y as shares of the side; null where the frame does not show it).
    """

    name = "stenosis"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """Some frames for each view."""
        return {"frames": ArraySpec(sum(FRAMES.values()), (112, 112))}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render frames of one clip for each view, sampled as finely as drawn for each clip."""
        patient = draw_patient(patient_id, plan.seed)
        frames = []
        rows: list[dict[str, Any]] = []
        for at, (view, count) in enumerate(FRAMES.items()):
            rng = np.random.default_rng([plan.seed, patient_id, _STREAM + at])
            resolution = draw_resolution(rng)
            draw = _Draw(count, rng)
            plane: Plane | None = None
            if view == "PSAX" and rng.random() < _AORTIC_SHARE:
                plane = "aortic"
            clip = render_clip(patient, view, plan.seed, CLIP_FRAMES, resolution, draw, plane)
            frames.append(clip.frames)
            rows += [
                {
                    "patient_id": patient_id,
                    "view": view,
                    "clip": patient_id * len(FRAMES) + at,
                    "grade": patient.valve.grade,
                    "area_cm2": round(patient.valve.area_cm2, 4),
                    "phase": round(float(clip.cycle.phase[frame]), 4),
                    "aortic_opening": round(float(clip.cycle.aortic_opening[frame]), 4),
                    "valve_at": _middle(clip, number),
                }
                for number, frame in enumerate(draw.chosen)
            ]
        return Rendered({"frames": np.concatenate(frames)}, rows)


def _middle(clip: PhantomClip, number: int) -> list[float] | None:
    if clip.valve_boxes is None:
        return None
    x0, y0, x1, y1 = clip.valve_boxes[number]
    return [round(float(x0 + x1) / 2, 4), round(float(y0 + y1) / 2, 4)]


class _Draw:
    """Draws frames once a clip's cycle is known, and remembers which."""

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._count, self._rng = count, rng
        self.chosen: list[int] = []

    def __call__(self, cycle: Cycle) -> list[int]:
        self.chosen = draw_frames(cycle, self._count, self._rng)
        return self.chosen


def draw_frames(cycle: Cycle, count: int, rng: np.random.Generator) -> list[int]:
    """Draw frames of a clip, in order: half of them, rounded down, with the valve wide open."""
    wide = np.flatnonzero(cycle.aortic_opening >= OPEN)
    others = np.flatnonzero(cycle.aortic_opening < OPEN)
    few = min(count // 2, len(wide))
    drawn = [rng.choice(wide, few, replace=False), rng.choice(others, count - few, replace=False)]
    return sorted(int(k) for k in np.concatenate(drawn))
