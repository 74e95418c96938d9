"""Reads single frames with the state of the aortic valve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from train.datasets.phantom import NO_JITTER, Arrays, Jitter, resize
from train.splits import Split, rows_of

#: The severity of a frame without stenosis: no answer.
NO_SEVERITY = -1
#: How far a cut around the valve is moved about in training, as a share of the side.
_WANDER = 0.06
_OPEN = 0.6


class StenosisStills:
    """Frames with two answers: is there a stenosis, and is it severe.

    As in RSMAS-Net's paper any grade counts as a stenosis, and mild to moderate is one class.

    Parameters
    ----------
    cohort
        Folder with ``stenosis_frames.npy`` and ``stenosis_index.json``.
    split
        Part of the patients.
    size
        Side of the frames that are handed out.
    jitter
        Applied in training only.
    lesson
        Only what is easiest to learn from: frames that show the valve wide open. They are brought
        to a smaller size by cutting a square out around the valve, at full resolution, instead of
        shrinking: few pixels, but those that matter.
    others_every, shut_every
        Keep one in so many of the frames that don't show the valve, and of those that show it shut,
        which say less of it. Only where the index says where it is (``valve_at``).
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        size: int = 112,
        jitter: Jitter = NO_JITTER,
        *,
        lesson: bool = False,
        others_every: int = 1,
        shut_every: int = 1,
    ) -> None:
        index: list[dict[str, Any]] = json.loads((cohort / "stenosis_index.json").read_text())
        self._frames = np.load(cohort / "stenosis_frames.npy", mmap_mode="r")
        self._rows = rows_of([row["patient_id"] for row in index], split)
        if lesson:
            self._rows = [r for r in self._rows if _teaches(index[r])]
        others = [r for r in self._rows if index[r].get("valve_at", ()) is None]
        shut = [
            r for r in self._rows if index[r].get("valve_at") and index[r]["aortic_opening"] < _OPEN
        ]
        left_out = {*others, *shut} - {*others[::others_every], *shut[::shut_every]}
        self._rows = [r for r in self._rows if r not in left_out]
        self._truth = [index[row] for row in self._rows]
        self._size = size
        self._jitter = jitter
        self._lesson = lesson

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each frame."""
        return [int(row["patient_id"]) for row in self._truth]

    @property
    def clip_ids(self) -> list[int]:
        """The clip that each frame is from."""
        return [int(row["clip"]) for row in self._truth]

    @property
    def views(self) -> list[str]:
        """The view of each frame."""
        return [str(row["view"]) for row in self._truth]

    @property
    def phases(self) -> npt.NDArray[np.float64]:
        """Share of the heart cycle since the R peak, NaN where it is not known, ``(frames,)``."""
        return np.array([row.get("phase", np.nan) for row in self._truth], np.float64)

    @property
    def stenosis(self) -> npt.NDArray[np.int64]:
        """0 none, 1 any grade, ``(frames,)``."""
        return np.array([row["grade"] != "none" for row in self._truth], np.int64)

    @property
    def severity(self) -> npt.NDArray[np.int64]:
        """0 mild to moderate, 1 severe, -1 no stenosis, ``(frames,)``."""
        severe = np.array([row["grade"] == "severe" for row in self._truth], np.int64)
        return np.where(self.stenosis == 1, severe, NO_SEVERITY)

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read frames.

        Parameters
        ----------
        positions
            Which of the frames.
        rng
            Draws the jitter; None for frames as they are.

        Returns
        -------
        ``frames`` uint8 ``(B, 1, size, size)``, ``stenosis`` and ``severity`` int64 ``(B,)``,
        ``area`` of the valve in cm², float32 ``(B,)``, and ``valve_at``, x and y of its middle as
        shares of the side, float32 ``(B, 2)``; NaN where not known or not seen.
        """
        shown = [self._read(position, rng) for position in positions]
        chosen = list(positions)
        return {
            "frames": np.stack([frame for frame, _ in shown])[:, None],
            "stenosis": self.stenosis[chosen],
            "severity": self.severity[chosen],
            "area": np.array([self._truth[k].get("area_cm2", np.nan) for k in chosen], np.float32),
            "valve_at": np.array([at for _, at in shown], np.float32),
        }

    def _read(
        self, position: int, rng: np.random.Generator | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """One frame, jittered if `rng` is given, and where its valve is."""
        frame = self._frames[self._rows[position]]
        if not self._lesson:
            frame = resize(frame[None], self._size)[0]
        side = frame.shape[0]
        seen = self._truth[position].get("valve_at")
        at = np.full(2, np.nan) if seen is None else np.array(seen, np.float64)
        if rng is not None and self._jitter != NO_JITTER:
            table, motion = self._jitter.grey_table(rng), self._jitter.motion(side, rng)
            frame = table[cv2.warpAffine(frame, motion, (side, side))]
            at = (motion[:, :2] @ at) + motion[:, 2] / side
        if self._lesson:
            corner = _corner_around(at, side, self._size, rng)
            x, y = corner
            frame = frame[y : y + self._size, x : x + self._size]
            at = (at * side - corner) / self._size
        return frame, at


def _teaches(row: dict[str, Any]) -> bool:
    return row.get("valve_at") is not None and bool(row["aortic_opening"] >= _OPEN)


def _corner_around(
    at: npt.NDArray[np.float64], side: int, size: int, rng: np.random.Generator | None
) -> npt.NDArray[np.int64]:
    """Upper left corner of a cut around a place, inside the frame; `rng` moves it about."""
    wander = np.zeros(2) if rng is None else rng.uniform(-_WANDER, _WANDER, 2)
    corner = np.round((at + wander) * side - size / 2).astype(np.int64)
    return np.clip(corner, 0, side - size)
