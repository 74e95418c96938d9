"""Reads short-axis frames: whole for the detector, cropped to the valve for the classifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.sector_crop import SIZE as FULL_SIZE
from models.valve_crop import SIZE as CROP_SIZE
from models.valve_crop import crop_valve
from models.yolo.letterbox import PADDING_GREY
from train.datasets.phantom import NO_JITTER, Arrays, Jitter, resize
from train.splits import Split, rows_of

_MARGIN_PIXELS = 2.0


@dataclass(frozen=True, slots=True)
class CropJitter:
    """How far a training crop is from the true box.

    Attributes
    ----------
    shift, scale
        Shares of the box's side.
    rotation_deg
        Turn about the box's centre.
    mirror
        Whether half of the crops are mirrored: calcium is calcium on either side.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotation_deg: float = 0.0
    mirror: bool = False


@dataclass(frozen=True)
class ValveCohort:
    """The rows of one part of the patients.

    Parameters
    ----------
    folder
        With ``valve_frames.npy`` and ``valve_index.json``.
    split
        Part of the patients.
    """

    folder: Path
    split: Split
    index: list[dict[str, Any]] = field(init=False)
    frames: npt.NDArray[np.uint8] = field(init=False)
    rows: list[int] = field(init=False)

    def __post_init__(self) -> None:
        index = json.loads((self.folder / "valve_index.json").read_text())
        object.__setattr__(self, "index", index)
        frames = np.load(self.folder / "valve_frames.npy", mmap_mode="r")
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "rows", rows_of([r["patient_id"] for r in index], self.split))


class ValveFrames:
    """Whole sector frames with the valve's box, where there is one.

    In training, frames are turned, enlarged and shifted. Below the full size (640) a frame shows a
    part of the sector at anything between its own and the full size's scale, so that weights
    learnt on small inputs know the valve as large as the last stage shows it.

    Parameters
    ----------
    cohort
        Folder of the training data.
    split
        Part of the patients.
    size
        Side of the frames that are handed out.
    jitter
        Grey, shift, scale and turn; applied in training only.
    """

    def __init__(
        self, cohort: Path, split: Split, size: int = FULL_SIZE, jitter: Jitter = NO_JITTER
    ) -> None:
        self._cohort = ValveCohort(cohort, split)
        self._size = size
        self._jitter = jitter

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._cohort.rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each frame."""
        return [int(self.row(position)["patient_id"]) for position in range(len(self))]

    def row(self, position: int) -> dict[str, Any]:
        """What the index says of a frame."""
        return self._cohort.index[self._cohort.rows[position]]

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read frames.

        Returns
        -------
        ``frames`` uint8 ``(B, 1, size, size)``, ``box`` float32 ``(B, 4)`` in pixels, and
        ``present`` bool ``(B,)``; the box is 0 where the frame shows no aortic valve.
        """
        frames = np.empty((len(positions), 1, self._size, self._size), np.uint8)
        boxes = np.zeros((len(positions), 4), np.float32)
        present = np.zeros(len(positions), np.bool_)
        for at, position in enumerate(positions):
            frame = np.asarray(self._cohort.frames[self._cohort.rows[position]])
            box = self.row(position)["box"]
            present[at] = box is not None
            pixels = None if box is None else np.array(box) * len(frame)
            if rng is None:
                matrix = np.array(
                    [[self._size / len(frame), 0, 0], [0, self._size / len(frame), 0]]
                )
            else:
                frame = self._jitter.grey_table(rng)[frame]
                matrix = self._movement(pixels, len(frame), rng)
            frames[at, 0] = _warped(frame, matrix, self._size)
            if pixels is not None:
                boxes[at] = np.clip(moved_box(pixels, matrix), 0, self._size)
        return {"frames": frames, "box": boxes, "present": present}

    def _movement(
        self, box: npt.NDArray[np.float64] | None, side: int, rng: np.random.Generator
    ) -> npt.NDArray[np.float64]:
        """Draw an affine map ``(2, 3)`` that keeps the box inside where it fits."""
        turn = rng.uniform(-1, 1) * self._jitter.rotation_deg
        least, most = 1 - self._jitter.scale, 1 + self._jitter.scale
        zoom = float(np.exp(rng.uniform(np.log(least), np.log(most * FULL_SIZE / self._size))))
        turned = cv2.getRotationMatrix2D((side / 2, side / 2), turn, 1.0)
        matrix: npt.NDArray[np.float64] = turned.astype(np.float64) * (zoom * self._size / side)
        whole, slack = zoom * self._size, self._jitter.shift * self._size
        low = np.full(2, min(0.0, whole - self._size) - slack)
        high = np.full(2, max(0.0, whole - self._size) + slack)
        if box is not None:
            inside = moved_box(box, matrix)
            low = np.maximum(low, inside[2:] - self._size + _MARGIN_PIXELS)
            high = np.minimum(high, inside[:2] - _MARGIN_PIXELS)
        offset = np.where(low < high, rng.uniform(np.minimum(low, high), high), (low + high) / 2)
        matrix[:, 2] -= offset
        return matrix


class ValveCrops:
    """Crops of the valve with its calcification, in training balanced by repeating the rarer class.

    Parameters
    ----------
    cohort, split, size
        As in :class:`ValveFrames`.
    jitter, grey
        Applied in training only.
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        size: int = CROP_SIZE,
        jitter: CropJitter | None = None,
        grey: Jitter = NO_JITTER,
    ) -> None:
        self._cohort = ValveCohort(cohort, split)
        self._size = size
        self._jitter = jitter or CropJitter()
        self._grey = grey
        rows = [row for row in self._cohort.rows if self._cohort.index[row]["box"] is not None]
        self._rows = self._balanced(rows) if split == "train" else rows

    def __len__(self) -> int:
        """Count the crops."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each crop."""
        return [int(self._cohort.index[row]["patient_id"]) for row in self._rows]

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read crops uint8 ``(B, 1, size, size)`` and ``calcified`` float32 ``(B,)``."""
        crops = np.empty((len(positions), 1, self._size, self._size), np.uint8)
        for at, position in enumerate(positions):
            row = self._rows[position]
            frame = np.asarray(self._cohort.frames[row])
            box = np.array(self._cohort.index[row]["box"]) * len(frame)
            crop = _whole_crop(frame, box) if rng is None else self._drawn(frame, box, rng)
            crops[at] = resize(crop[None], self._size)
        calcified = [self._cohort.index[self._rows[p]]["calcified"] for p in positions]
        return {"crops": crops, "calcified": np.array(calcified, np.float32)}

    def _drawn(
        self, frame: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        side = box[2:] - box[:2]
        centre = (box[:2] + box[2:]) / 2
        turn = rng.uniform(-1, 1) * self._jitter.rotation_deg
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), float(turn), 1.0)
        turned = _warped(frame, np.asarray(matrix), len(frame))
        centre = centre + rng.uniform(-1, 1, 2) * self._jitter.shift * side
        half = side * (1 + rng.uniform(-1, 1, 2) * self._jitter.scale) / 2
        crop = _whole_crop(turned, np.concatenate([centre - half, centre + half]))
        crop = self._grey.grey_table(rng)[crop]
        return crop[:, ::-1] if self._jitter.mirror and rng.random() < 0.5 else crop

    def _balanced(self, rows: list[int]) -> list[int]:
        of_class = [[r for r in rows if self._cohort.index[r]["calcified"] == c] for c in (0, 1)]
        if not all(of_class):
            return rows
        more = max(map(len, of_class))
        return [row for group in of_class for row in (group * (more // len(group) + 1))[:more]]


def moved_box(
    box: npt.NDArray[np.float64], matrix: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The box around the ellipse that fills `box`, after an affine map ``(2, 3)``.

    The valve is round: the box around the turned corners would be too large.
    """
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    at = matrix[:, :2] @ centre + matrix[:, 2]
    reach = np.sqrt(((matrix[:, :2] * half) ** 2).sum(1))
    return np.concatenate([at - reach, at + reach])


def _warped(
    frame: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], size: int
) -> npt.NDArray[np.uint8]:
    # cv2 puts pixel centres at whole numbers; boxes have them at halves.
    centred = matrix.copy()
    centred[:, 2] += (matrix[:, :2] @ np.array([0.5, 0.5])) - 0.5
    return np.asarray(
        cv2.warpAffine(
            frame, centred, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=PADDING_GREY
        ),
        np.uint8,
    )


def _whole_crop(
    frame: npt.NDArray[np.uint8], box: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Crop from the frame at the detector's size, as the node does."""
    scale = FULL_SIZE / len(frame)
    large = cv2.resize(frame, (FULL_SIZE, FULL_SIZE), interpolation=cv2.INTER_LINEAR)
    return crop_valve(np.asarray(large, np.uint8), box * scale)
