"""Reads virtual M-mode strips across the septum."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.septal_flash_net import STRIDE
from models.virtual_m_mode import (
    OFFSETS,
    HeartCycle,
    ScanLine,
    Variant,
    expected_place,
    measured_septum,
    septum_contrast,
)
from train.datasets.phantom import Arrays, resize
from train.splits import Split, rows_of

#: The factor by which the paper changes the contrast at random.
_CONTRAST = (0.5, 2.0)


class SeptumStrips:
    """Strips with septal flash or none.

    Parameters
    ----------
    cohort
        Folder with ``septum_cropped.npy``, ``septum_whole.npy`` and ``septum_index.json``.
    split
        Part of the patients.
    size
        Side of the strips that are handed out.
    variant
        Which part of a strip.
    offsets
        Which of the 11 lines; 0 goes through the septum's point of interest.
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        size: int,
        variant: Variant,
        offsets: Sequence[int] = OFFSETS,
    ) -> None:
        self._index: list[dict[str, Any]] = json.loads((cohort / "septum_index.json").read_text())
        self._strips = np.load(cohort / f"septum_{variant}.npy", mmap_mode="r")
        self._cropped = np.load(cohort / "septum_cropped.npy", mmap_mode="r")
        self._whole = np.load(cohort / "septum_whole.npy", mmap_mode="r")
        rows = rows_of([row["patient_id"] for row in self._index], split)
        self._rows = [row for row in rows if self._index[row]["offset"] in offsets]
        self._size, self._variant = size, variant

    def __len__(self) -> int:
        """Count the strips."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each strip."""
        return [int(self._index[row]["patient_id"]) for row in self._rows]

    @property
    def truth(self) -> npt.NDArray[np.int64]:
        """1 for a flash, ``(N,)``."""
        return np.array([self._index[row]["has_flash"] for row in self._rows], np.int64)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Which of the 11 lines each strip is, -5 to 5, ``(N,)``."""
        return np.array([self._index[row]["offset"] for row in self._rows], np.int64)

    @property
    def flash_cm(self) -> npt.NDArray[np.float64]:
        """Amplitude of the flash, 0 without one, ``(N,)``."""
        return np.array([self._index[row]["flash_cm"] for row in self._rows])

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read strips.

        Parameters
        ----------
        positions
            Which of the strips.
        rng
            Changes the contrast of each by a factor between 0.5 and 2, as in the paper; None for
            strips as they are.

        Returns
        -------
        ``strips`` uint8 ``(B, 1, size, size)``, ``flash`` int64 ``(B,)``, and ``place``, the share
        of septum x early systole in each cell of the network's last map, float32
        ``(B, size / 32, size / 32)``.
        """
        rows = [self._rows[position] for position in positions]
        strips = resize(np.stack([self._strips[row] for row in rows]), self._size)
        if rng is not None:
            strips = np.stack([_contrasted(strip, rng) for strip in strips])
        flash = np.array([self._index[row]["has_flash"] for row in rows], np.int64)
        cells = self._size // STRIDE
        places = np.stack([self.place(position) for position in positions]).astype(np.float32)
        shares = places.reshape(len(rows), cells, STRIDE, cells, STRIDE).mean((2, 4))
        return {"strips": strips[:, None], "flash": flash, "place": shares}

    def mean_image(self, most: int = 2000) -> npt.NDArray[np.float32]:
        """Mean over up to `most` evenly chosen strips, ``(size, size)``."""
        chosen = np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)
        total = np.zeros(self._strips.shape[1:])
        for position in chosen:
            total += self._strips[self._rows[position]]
        mean = (total / len(chosen)).astype(np.float32)
        side = (self._size, self._size)
        return np.asarray(cv2.resize(mean, side, interpolation=cv2.INTER_AREA))

    def place(self, position: int) -> npt.NDArray[np.bool_]:
        """Septum x early systole in one strip, ``(size, size)``."""
        number = self._rows[position]
        row = self._index[number]
        line, cycle = _line(row), HeartCycle(*row["cycle_ms"])
        septum = measured_septum(self._whole[number], line)
        return expected_place(line, cycle, self._variant, self._size, septum)

    def contrast(self) -> npt.NDArray[np.float64]:
        """How well the septum stands out in each strip, grey levels, ``(N,)``."""
        return np.array(
            [septum_contrast(self._cropped[row], _line(self._index[row])) for row in self._rows]
        )


def _line(row: dict[str, Any]) -> ScanLine:
    x0, y0, x1, y1 = row["line"]
    return ScanLine((x0, y0), (x1, y1), row["band"])


def _contrasted(strip: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    factor = float(np.exp(rng.uniform(*np.log(_CONTRAST))))
    mean = float(strip.mean())
    return np.clip(mean + factor * (strip.astype(np.float32) - mean), 0, 255).astype(np.uint8)
