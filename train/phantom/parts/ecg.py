"""Twelve-lead ECGs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.phantom.ecg.recording import LEAD_MEASURES, MICROVOLTS, SAMPLES, render_ecg
from train.phantom.parts.base import ArraySpec, CohortPlan, Rendered
from train.phantom.patient import draw_patient


class EcgPart:
    """One recording for each patient.

    ``ecg_samples.npy``, int16 ``(patients, 12, 5000)``, in units of 1.25 uV at 500 Hz;
    ``ecg_measures.npy``, float32 ``(patients, 12, 4)``, what each lead's undisturbed beat measures;
    the index has the scores, the label, voltage, QRS width, strain, rhythm and R peaks.
    """

    name = "ecg"

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """One recording and its measures."""
        return {
            "samples": ArraySpec(1, (12, SAMPLES), np.int16),
            "measures": ArraySpec(1, (12, len(LEAD_MEASURES)), np.float32),
        }

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Render one recording."""
        ecg = render_ecg(draw_patient(patient_id, plan.seed), plan.seed)
        stored = np.clip(np.round(ecg.millivolts * (1000.0 / MICROVOLTS)), -32767, 32767)
        return Rendered(
            {"samples": stored[None].astype(np.int16), "measures": ecg.lead_measures[None]},
            [ecg.truth],
        )
