"""Reads the simulated cohort: clips with ejection fraction and borders, and frames with views.

The arrays are memory-mapped; a batch copies only what it uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.preprocess import CLIP_LENGTH, CLIP_PERIOD
from models.view_net import VIEWS
from train.splits import Split, rows_of

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Jitter:
    """Random change of the display, off by default as in the paper.

    Attributes
    ----------
    gain, gamma
        The grey is multiplied by 1 ± gain and raised to a power within 1 ± gamma.
    shift, scale, rotation_deg
        Of frames: share of the side, relative size, degrees. There are no flips: a mirrored heart
        is another view.
    """

    gain: float = 0.0
    gamma: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    rotation_deg: float = 0.0

    def grey_table(self, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Draw a table that maps grey to grey."""
        gain = 1 + self.gain * rng.uniform(-1, 1)
        gamma = 1 + self.gamma * rng.uniform(-1, 1)
        grey = np.linspace(0, 1, 256)
        return (255 * np.clip(gain * grey**gamma, 0, 1)).astype(np.uint8)

    def motion(self, side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw where a frame's pixels go: an affine matrix, ``(2, 3)``."""
        turn, size = rng.uniform(-1, 1, 2) * (self.rotation_deg, self.scale)
        centre = (side / 2, side / 2)
        matrix = np.array(cv2.getRotationMatrix2D(centre, float(turn), float(1 + size)), np.float64)
        matrix[:, 2] += rng.uniform(-1, 1, 2) * self.shift * side
        return matrix

    def move(self, frame: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Shift, scale and rotate one frame at random."""
        side = frame.shape[0]
        return np.asarray(cv2.warpAffine(frame, self.motion(side, rng), (side, side)))


NO_JITTER = Jitter()


class EjectionFractionClips:
    """Clips of apical views with their truth.

    Parameters
    ----------
    cohort
        Folder with ``ef_clips.npy`` and ``ef_index.json``.
    split
        Part of the patients.
    size
        Side of the clips that are handed out.
    jitter
        Applied in training only.
    """

    def __init__(
        self, cohort: Path, split: Split, size: int = 112, jitter: Jitter = NO_JITTER
    ) -> None:
        self._index: list[dict[str, Any]] = json.loads((cohort / "ef_index.json").read_text())
        self._clips = np.load(cohort / "ef_clips.npy", mmap_mode="r")
        self._rows = rows_of([row["patient_id"] for row in self._index], split)
        self._size = size
        self._jitter = jitter

    def __len__(self) -> int:
        """Count the clips."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each clip."""
        return [int(self._index[row]["patient_id"]) for row in self._rows]

    @property
    def starts(self) -> int:
        """First frames that a 32-frame clip of every second frame can have."""
        return int(self._clips.shape[1]) - ((CLIP_LENGTH - 1) * CLIP_PERIOD + 1) + 1

    def batch(
        self, positions: Sequence[int], rng: np.random.Generator | None, start: int = 0
    ) -> Arrays:
        """Read clips.

        Parameters
        ----------
        positions
            Which of the clips.
        rng
            Draws the first frame and the jitter; None to begin at `start` without jitter.
        start
            First frame when there is no `rng`.

        Returns
        -------
        ``clips`` uint8 ``(B, 1, 32, size, size)``, ``ef`` float32 ``(B,)`` as fractions,
        ``borders`` float32 ``(B, 2, 20, 4)`` as fractions of the side.
        """
        rows = [self._rows[position] for position in positions]
        clips = np.empty((len(rows), 1, CLIP_LENGTH, self._size, self._size), np.uint8)
        for out, row in zip(clips, rows, strict=True):
            first = start if rng is None else int(rng.integers(self.starts))
            frames = self._clips[row, first::CLIP_PERIOD][:CLIP_LENGTH]
            out[0] = resize(frames, self._size)
            if rng is not None and self._jitter != NO_JITTER:
                out[0] = self._jitter.grey_table(rng)[out[0]]
        truth = [self._index[row] for row in rows]
        borders = [[t["ed_border"], t["es_border"]] for t in truth]
        return {
            "clips": clips,
            "ef": np.array([t["ef"] / 100 for t in truth], np.float32),
            "borders": np.array(borders, np.float32),
        }

    def grey_statistics(self, clips: int = 128) -> tuple[float, float]:
        """Mean and standard deviation of grey over evenly chosen clips, after EchoNet-Dynamic."""
        chosen = np.linspace(0, len(self) - 1, min(clips, len(self))).astype(int)
        sample = self._clips[[self._rows[i] for i in chosen], ::8].astype(np.float32)
        return float(sample.mean()), float(sample.std())


class ViewFrames:
    """Single frames with their view; parameters as in :class:`EjectionFractionClips`."""

    def __init__(
        self, cohort: Path, split: Split, size: int = 112, jitter: Jitter = NO_JITTER
    ) -> None:
        self._index: list[dict[str, Any]] = json.loads((cohort / "view_index.json").read_text())
        self._frames = np.load(cohort / "view_frames.npy", mmap_mode="r")
        self._rows = rows_of([row["patient_id"] for row in self._index], split)
        self._size = size
        self._jitter = jitter

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each frame."""
        return [int(self._index[row]["patient_id"]) for row in self._rows]

    @property
    def clip_ids(self) -> list[int]:
        """The clip that each frame is from."""
        return [int(self._index[row]["clip"]) for row in self._rows]

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read frames: ``frames`` uint8 ``(B, 1, size, size)`` and ``view`` int64 ``(B,)``."""
        rows = [self._rows[position] for position in positions]
        frames = resize(np.stack([self._frames[row] for row in rows]), self._size)
        if rng is not None and self._jitter != NO_JITTER:
            frames = np.stack(
                [self._jitter.grey_table(rng)[self._jitter.move(f, rng)] for f in frames]
            )
        views = [VIEWS.index(self._index[row]["view"]) for row in rows]
        return {"frames": frames[:, None], "view": np.array(views, np.int64)}


def resize(frames: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Bring ``(N, rows, columns)`` to ``(N, size, size)`` by area averaging."""
    if frames.shape[1:] == (size, size):
        return np.asarray(frames)
    return np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in frames])
