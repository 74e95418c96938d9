"""Writes a simulated cohort to disk: arrays and an index for each part, and the patients' truth."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from train.phantom.parts import PARTS
from train.phantom.parts.base import CohortPlan
from train.phantom.patient import draw_patient


def write_cohort(
    folder: Path,
    plan: CohortPlan,
    parts: Sequence[str],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Simulate a cohort and write it.

    ``patients.json`` holds the patients' truth. Each part writes ``<part>_<array>.npy``, rows of a
    patient side by side, and ``<part>_index.json``. An index is removed first and written after its
    arrays are complete, so that a killed run is seen as incomplete.

    Parameters
    ----------
    folder
        Made when absent.
    plan
        Size and seed.
    parts
        Names in :data:`PARTS`.
    tick
        Called once per patient and part, for a progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    people = [draw_patient(p, plan.seed).truth() for p in range(plan.patients)]
    (folder / "patients.json").write_text(json.dumps(people))
    for name in parts:
        index = folder / f"{name}_index.json"
        index.unlink(missing_ok=True)
        for array, spec in PARTS[name].arrays(plan).items():
            shape = (plan.patients * spec.rows_per_patient, *spec.shape)
            path = folder / f"{name}_{array}.npy"
            np.lib.format.open_memmap(path, mode="w+", dtype=spec.dtype, shape=shape).flush()
        rows = _render(folder, plan, name, tick)
        index.write_text(json.dumps(rows))


def _render(
    folder: Path, plan: CohortPlan, part: str, tick: Callable[[], None]
) -> list[dict[str, Any]]:
    jobs = [(folder, plan, part, patient_id) for patient_id in range(plan.patients)]
    rows: dict[int, list[dict[str, Any]]] = {}
    with multiprocessing.get_context("spawn").Pool(plan.processes) as pool:
        for patient_id, found in pool.imap_unordered(_render_patient, jobs, chunksize=4):
            rows[patient_id] = found
            tick()
    return [row for patient_id in sorted(rows) for row in rows[patient_id]]


def _render_patient(job: tuple[Path, CohortPlan, str, int]) -> tuple[int, list[dict[str, Any]]]:
    folder, plan, name, patient_id = job
    cv2.setNumThreads(1)
    part = PARTS[name]
    rendered = part.render(patient_id, plan)
    for array, spec in part.arrays(plan).items():
        target = np.lib.format.open_memmap(folder / f"{name}_{array}.npy", mode="r+")
        start = patient_id * spec.rows_per_patient
        target[start : start + spec.rows_per_patient] = rendered.arrays[array]
        target.flush()
    return patient_id, [dict(row) for row in rendered.rows]
