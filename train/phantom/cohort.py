"""Writes a simulated cohort to disk: apical clips, frames of every view, and the truth."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from train.phantom.clip import VIEWS, PhantomClip, render_clip
from train.phantom.patient import draw_patient

#: Frames of a clip that is kept whole: 32 frames at period 2 need 63.
CLIP_FRAMES = 64


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """What to simulate.

    Attributes
    ----------
    patients
        Number of patients, numbered from 0.
    seed
        Determines every patient and every clip.
    view_frames
        Frames kept per patient and view for the view network.
    processes
        Processes that render side by side.
    """

    patients: int
    seed: int = 1
    view_frames: int = 4
    processes: int = 2


def _index_row(clip: PhantomClip, patient_id: int, ejection_fraction: float) -> dict[str, Any]:
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


def _render_ef(job: tuple[Path, int, int]) -> tuple[int, list[dict[str, Any]]]:
    folder, seed, patient_id = job
    cv2.setNumThreads(1)
    frames = np.lib.format.open_memmap(folder / "ef_clips.npy", mode="r+")
    patient = draw_patient(patient_id, seed)
    rows = []
    for at, view in enumerate(("A4C", "A2C")):
        clip = render_clip(patient, view, seed, CLIP_FRAMES)
        frames[2 * patient_id + at] = clip.frames
        rows.append(_index_row(clip, patient_id, patient.ejection_fraction))
    frames.flush()
    return patient_id, rows


def _render_views(job: tuple[Path, int, int, int]) -> tuple[int, list[dict[str, Any]]]:
    folder, seed, patient_id, per_view = job
    cv2.setNumThreads(1)
    frames = np.lib.format.open_memmap(folder / "view_frames.npy", mode="r+")
    patient = draw_patient(patient_id, seed)
    rows = []
    for at, view in enumerate(VIEWS):
        rng = np.random.default_rng([seed, patient_id, 100 + at])
        only = sorted(int(k) for k in rng.choice(CLIP_FRAMES, size=per_view, replace=False))
        clip = render_clip(patient, view, seed, CLIP_FRAMES, only=only)
        start = (patient_id * len(VIEWS) + at) * per_view
        frames[start : start + per_view] = clip.frames
        rows += [
            {"patient_id": patient_id, "view": view, "clip": patient_id * len(VIEWS) + at}
        ] * per_view
    frames.flush()
    return patient_id, rows


def _gather(
    render: Callable[[Any], tuple[int, list[dict[str, Any]]]],
    jobs: list[Any],
    processes: int,
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    rows: dict[int, list[dict[str, Any]]] = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for patient_id, found in pool.imap_unordered(render, jobs, chunksize=4):
            rows[patient_id] = found
            tick()
    return [row for patient_id in sorted(rows) for row in rows[patient_id]]


def write_cohort(
    folder: Path,
    plan: CohortPlan,
    parts: tuple[str, ...] = ("ef", "view"),
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Simulate a cohort and write it.

    ``patients.json`` holds the patients' parameters; ``ef_clips.npy`` uint8 ``(2 x patients, 64,
    112, 112)`` with ``ef_index.json``; ``view_frames.npy`` uint8 ``(patients x 5 x view_frames,
    112, 112)`` with ``view_index.json``. An index is removed first and written after its array is
    complete, so that a killed run is seen as incomplete.

    Parameters
    ----------
    folder
        Made when absent.
    plan
        Size and seed.
    parts
        ``ef``, ``view`` or both.
    tick
        Called once per patient and part, for a progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    people = [draw_patient(p, plan.seed).truth() for p in range(plan.patients)]
    (folder / "patients.json").write_text(json.dumps(people))
    if "ef" in parts:
        (folder / "ef_index.json").unlink(missing_ok=True)
        _allocate(folder / "ef_clips.npy", (2 * plan.patients, CLIP_FRAMES, 112, 112))
        jobs: list[Any] = [(folder, plan.seed, p) for p in range(plan.patients)]
        rows = _gather(_render_ef, jobs, plan.processes, tick)
        (folder / "ef_index.json").write_text(json.dumps(rows))
    if "view" in parts:
        (folder / "view_index.json").unlink(missing_ok=True)
        _allocate(
            folder / "view_frames.npy", (plan.patients * len(VIEWS) * plan.view_frames, 112, 112)
        )
        jobs = [(folder, plan.seed, p, plan.view_frames) for p in range(plan.patients)]
        rows = _gather(_render_views, jobs, plan.processes, tick)
        (folder / "view_index.json").write_text(json.dumps(rows))


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
