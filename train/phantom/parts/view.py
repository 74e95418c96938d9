"""Frames of every view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from train.phantom.clip import VIEWS, render_clip
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.parts.ef import CLIP_FRAMES
from train.phantom.patient import draw_patient


class ViewPart:
    """``view_frames.npy``, uint8 ``(patients x 5 x view_frames, 112, 112)``."""

    name = "view"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """Some frames for each view."""
        return {"frames": ArraySpec(len(VIEWS) * plan.view_frames, (112, 112))}

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render frames of a clip for each view."""
        patient = draw_patient(patient_id, plan.seed)
        frames = []
        rows: list[dict[str, Any]] = []
        for at, view in enumerate(VIEWS):
            rng = np.random.default_rng([plan.seed, patient_id, 100 + at])
            drawn = rng.choice(CLIP_FRAMES, size=plan.view_frames, replace=False)
            only = sorted(int(k) for k in drawn)
            frames.append(render_clip(patient, view, plan.seed, CLIP_FRAMES, only=only).frames)
            clip = patient_id * len(VIEWS) + at
            rows += [{"patient_id": patient_id, "view": view, "clip": clip}] * plan.view_frames
        return Rendered({"frames": np.concatenate(frames)}, rows)
