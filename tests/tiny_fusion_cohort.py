"""A cohort of ECGs and chest films of a few simulated patients, rendered for real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from train.phantom.parts import PARTS
from train.phantom.parts.base import CohortPlan


def write_fusion_cohort(folder: Path, patients: int = 24, seed: int = 5) -> Path:
    """Write the parts ``ecg`` and ``xray``."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = CohortPlan(patients, seed)
    for name in ("ecg", "xray"):
        rendered = [PARTS[name].render(patient, plan) for patient in range(patients)]
        for array in PARTS[name].arrays(plan):
            parts = [one.arrays[array] for one in rendered]
            np.save(folder / f"{name}_{array}.npy", np.concatenate(parts))
        rows = [dict(row) for one in rendered for row in one.rows]
        (folder / f"{name}_index.json").write_text(json.dumps(rows))
    (folder / "patients.json").write_text(json.dumps([{"patient_id": p} for p in range(patients)]))
    return folder
