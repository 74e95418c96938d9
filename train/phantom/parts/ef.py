"""Apical clips with ejection fraction and borders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.phantom.clip import PhantomClip, render_clip
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.patient import draw_patient
from train.phantom.sampling import draw_resolution

#: Frames of a clip that is kept whole: 32 frames at period 2 need 63.
CLIP_FRAMES = 64
_VIEWS = ("A4C", "A2C")
#: Half as a display shows it, half coarse: what is learnt from one sampling alone is far off (by
#: 10 and more points) on the other.
_FINE_SHARE = 0.5
_STREAM = 310


class EjectionFractionPart:
    """``ef_clips.npy``, uint8 ``(2 x patients, 64, 112, 112)``: A4C, then A2C."""

    name = "ef"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """One clip for each apical view."""
        return {"clips": ArraySpec(len(_VIEWS), (CLIP_FRAMES, 112, 112))}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render both clips."""
        patient = draw_patient(patient_id, plan.seed)
        rng = np.random.default_rng([plan.seed, patient_id, _STREAM])
        clips = [
            render_clip(patient, view, plan.seed, CLIP_FRAMES, draw_resolution(rng, _FINE_SHARE))
            for view in _VIEWS
        ]
        rows = [_row(clip, patient_id, patient.ejection_fraction) for clip in clips]
        return Rendered({"clips": np.stack([clip.frames for clip in clips])}, rows)


def _row(clip: PhantomClip, patient_id: int, ejection_fraction: float) -> dict[str, Any]:
    if clip.borders is None:
        raise ValueError(f"{clip.view} has no borders")
    contraction = clip.cycle.contraction
    return {
        "patient_id": patient_id,
        "view": clip.view,
        "ef": 100.0 * ejection_fraction,
        "ed_border": np.round(clip.borders[0], 5).tolist(),
        "es_border": np.round(clip.borders[1], 5).tolist(),
        "frame_time_ms": clip.frame_time_ms,
        "ed_frames": np.flatnonzero(contraction < 0.02).tolist(),
        "es_frames": np.flatnonzero(contraction > 0.98).tolist(),
        "r_peaks_ms": [round(t, 2) for t in clip.cycle.r_peaks_ms],
    }
