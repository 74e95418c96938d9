"""Short-axis frames with the aortic valve's box, and frames of other levels without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.inputs import Box
from models.preprocess import Sector
from models.sector_crop import SectorCrop, crop_sector
from train.phantom.clip import PhantomClip, Resolution, render_clip
from train.phantom.heart_cycle import Cycle
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.patient import Patient, draw_patient
from train.phantom.views.parasternal import Plane

#: Side of the stored frames. The networks see 640: training enlarges them, which loses the finest
#: speckle but keeps the cohort at a quarter of the size.
SIZE = 320
_CLIP_FRAMES = 64
_DIASTOLIC = 2
_STREAM = 300


class ValvePart:
    """``valve_frames.npy``, uint8 ``(4 x patients, 320, 320)``: the sector cropped and letterboxed
    as the node does it.

    Two frames in diastole and one in systole at the aortic valve, and one at another level; the
    index has the valve's ``box`` as fractions of the side (null where there is none), ``calcified``
    and ``calcium``, ``phase`` and ``diastolic``.
    """

    name = "valve"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """Four frames for each patient."""
        return {"frames": ArraySpec(_DIASTOLIC + 2, (SIZE, SIZE))}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render both clips' chosen frames."""
        patient = draw_patient(patient_id, plan.seed)
        rng = np.random.default_rng([plan.seed, patient_id, _STREAM])
        resolution = _resolution(rng)
        other: Plane = "papillary" if rng.random() < 0.5 else "mitral"
        planes: tuple[Plane, Plane] = ("aortic", other)
        draw = int(rng.integers(2**31))
        frames, rows = [], []
        for plane in planes:

            def choose(cycle: Cycle, aortic: bool = plane == "aortic") -> list[int]:
                return _choose(cycle, aortic, draw)

            clip = render_clip(patient, "PSAX", plan.seed, _CLIP_FRAMES, resolution, choose, plane)
            cropped, crop = _cropped(clip.frames)
            frames.append(cropped)
            rows += _rows(clip, crop, patient, plane, choose(clip.cycle))
        return Rendered({"frames": np.concatenate(frames)}, rows)


def _resolution(rng: np.random.Generator) -> Resolution:
    """Another sampling for each patient: real machines differ, and so do displays."""
    side = int(SIZE * rng.uniform(1.0, 1.3))
    return Resolution(
        depths=int(rng.integers(256, 361)), beams=int(rng.integers(150, 221)),
        render=side, size=side,
    )  # fmt: skip


def _choose(cycle: Cycle, aortic: bool, draw: int) -> list[int]:
    """Frames to render: two with the valve closed and one with it open, or one of any phase."""
    rng = np.random.default_rng(draw)
    if not aortic:
        return [int(rng.integers(len(cycle.phase)))]
    closed = np.flatnonzero(_diastolic(cycle))
    opened = np.flatnonzero(cycle.aortic_opening > 0.5)
    chosen = rng.choice(closed, _DIASTOLIC, replace=False).tolist()
    return [int(frame) for frame in [*sorted(chosen), rng.choice(opened)]]


def _diastolic(cycle: Cycle) -> np.ndarray:
    """Frames from early filling to the R peak, with the aortic valve shut."""
    return np.asarray((cycle.aortic_opening == 0) & (cycle.phase > 0.55))


def _cropped(frames: np.ndarray) -> tuple[np.ndarray, SectorCrop]:
    """Crop to what is lit in any frame: outside the sector a window is exactly black."""
    lit = frames.max(axis=0) > 0
    ys, xs = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    return crop_sector(frames, Sector(box, np.ones(frames.shape[1:], np.bool_), True), SIZE)


def _rows(
    clip: PhantomClip, crop: SectorCrop, patient: Patient, plane: Plane, chosen: Sequence[int]
) -> list[dict[str, Any]]:
    boxes: list[list[float] | None] = [None] * len(chosen)
    if clip.valve_boxes is not None:
        inside = crop.to_square(clip.valve_boxes * clip.frames.shape[-1]) / SIZE
        boxes = [[round(float(v), 5) for v in box] for box in np.clip(inside, 0.0, 1.0)]
    diastolic = _diastolic(clip.cycle)
    return [
        {
            "patient_id": patient.patient_id,
            "plane": plane,
            "box": box,
            "calcified": patient.valve.calcified,
            "calcium": round(patient.valve.calcium, 4),
            "phase": round(float(clip.cycle.phase[frame]), 4),
            "diastolic": bool(diastolic[frame]),
        }
        for frame, box in zip(chosen, boxes, strict=True)
    ]
