"""A cohort of a few pulsating discs, in the layout that the phantom writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VIEWS = ("PLAX", "PSAX", "A4C", "A2C", "other")


def disc_border(x: float, y: float, radius: float) -> list[list[float]]:
    """Twenty chords of a disc, as fractions of a side of 112."""
    rows = np.linspace(-radius, radius, 22)[1:-1]
    half = np.sqrt(radius**2 - rows**2)
    return (np.stack([x - half, y + rows, x + half, y + rows], axis=1) / 112).tolist()


def pulsating_disc(
    rng: np.random.Generator, ef_percent: float, noise: float = 10.0
) -> tuple[np.ndarray, list[list[float]], list[list[float]]]:
    """64 frames of a dark disc that contracts once in 30 frames; its ED and ES borders."""
    x, y = 56 + rng.uniform(-6, 6, 2)
    radius, shrunk = 24.0, 24.0 * (1 - ef_percent / 100) ** (1 / 3)
    phase = (1 - np.cos(2 * np.pi * np.arange(64) / 30)) / 2
    radii = radius + phase * (shrunk - radius)
    rows, columns = np.mgrid[:112, :112]
    inside = np.hypot(columns - x, rows - y)[None] < radii[:, None, None]
    grey = np.where(inside, 15.0, 110.0) + rng.normal(0, noise, (64, 112, 112))
    frames = np.clip(grey, 0, 255).astype(np.uint8)
    return frames, disc_border(x, y, radius), disc_border(x, y, shrunk)


def write_tiny_cohort(folder: Path, patients: int = 24) -> Path:
    """Write clips and frames of `patients` patients."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    clips, clip_index, frames, frame_index = [], [], [], []
    for patient in range(patients):
        ef = float(rng.uniform(15, 75))
        truth: dict[str, Any] = {"patient_id": patient, "ef": ef, "frame_time_ms": 25.0}
        cine, ed, es = pulsating_disc(rng, ef)
        clips.append(cine)
        clip_index.append(truth | {"view": "A4C", "ed_border": ed, "es_border": es})
        for number, view in enumerate(VIEWS):
            frame = np.clip(rng.normal(40, 10, (2, 112, 112)), 0, 255).astype(np.uint8)
            frame[:, 20 * number : 20 * number + 20] += 100
            frames.append(frame)
            clip = {"patient_id": patient, "view": view, "clip": patient * len(VIEWS) + number}
            frame_index += [clip, clip]
    np.save(folder / "ef_clips.npy", np.stack(clips))
    np.save(folder / "view_frames.npy", np.concatenate(frames))
    (folder / "ef_index.json").write_text(json.dumps(clip_index))
    (folder / "view_index.json").write_text(json.dumps(frame_index))
    (folder / "patients.json").write_text(json.dumps([{"patient_id": p} for p in range(patients)]))
    return folder
