"""Reads single frames with the state of the aortic valve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        shares of the side before the jitter, float32 ``(B, 2)``; NaN where not known or not seen.
        """
        frames = np.stack([self._frames[self._rows[position]] for position in positions])
        if not self._lesson:
            frames = resize(frames, self._size)
        if rng is not None and self._jitter != NO_JITTER:
            frames = np.stack(
                [self._jitter.grey_table(rng)[self._jitter.move(f, rng)] for f in frames]
            )
        if self._lesson:
            places = [self._truth[position]["valve_at"] for position in positions]
            frames = np.stack(
                [
                    _around(frame, at, self._size, rng)
                    for frame, at in zip(frames, places, strict=True)
                ]
            )
        chosen = list(positions)
        return {
            "frames": frames[:, None],
            "stenosis": self.stenosis[chosen],
            "severity": self.severity[chosen],
            "area": np.array([self._truth[k].get("area_cm2", np.nan) for k in chosen], np.float32),
            "valve_at": np.array([self._valve_at(k) for k in chosen], np.float32),
        }

    def _valve_at(self, position: int) -> tuple[float, float]:
        """A cut-out has the valve in its middle, as far as the frame's edge allows."""
        at = self._truth[position].get("valve_at")
        if at is None:
            return (np.nan, np.nan)
        return (0.5, 0.5) if self._lesson else (at[0], at[1])


def _teaches(row: dict[str, Any]) -> bool:
    return row.get("valve_at") is not None and bool(row["aortic_opening"] >= _OPEN)


def _around(
    frame: npt.NDArray[np.uint8],
    at: tuple[float, float],
    size: int,
    rng: np.random.Generator | None,
) -> npt.NDArray[np.uint8]:
    """Cut ``(size, size)`` out of a frame, inside it; `rng` moves the cut about."""
    side = frame.shape[0]
    wander = np.zeros(2) if rng is None else rng.uniform(-_WANDER, _WANDER, 2)
    corner = np.round((np.array(at) + wander) * side - size / 2).astype(int)
    x, y = np.clip(corner, 0, side - size)
    return frame[y : y + size, x : x + size]
