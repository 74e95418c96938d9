"""Reads ECG and chest film of the same simulated patients, with the label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.datasets.ecg import EcgWindows
from train.datasets.phantom import NO_JITTER, Arrays, Jitter
from train.datasets.xray import XrayFilms
from train.splits import SPLITS, Split

#: A cohort of another seed inside a cohort's folder: patients of whom none was trained on.
HELD_OUT = "held_out"


class FusionPairs:
    """One pair for each patient: a window of the ECG and the film.

    Parameters
    ----------
    cohort
        Folder with the parts ``ecg`` and ``xray`` of the same patients.
    split
        Part of the patients.
    size
        Side of the films.
    noise_mv, jitter, autocontrast
        As of EcgWindows and XrayFilms; in training only.
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        size: int = 224,
        noise_mv: float = 0.0,
        jitter: Jitter = NO_JITTER,
        autocontrast: float = 0.0,
    ) -> None:
        self._cohort = cohort
        self.ecg = EcgWindows(cohort, split, 12, noise_mv)
        self.xray = XrayFilms(cohort, split, size, jitter, autocontrast)
        at = {patient: position for position, patient in enumerate(self.xray.patient_ids)}
        pairs = [(k, at[p]) for k, p in enumerate(self.ecg.patient_ids) if p in at]
        self._ecg_positions = [k for k, _ in pairs]
        self._xray_positions = [k for _, k in pairs]

    def __len__(self) -> int:
        """Count the patients."""
        return len(self._ecg_positions)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each pair."""
        ids = self.ecg.patient_ids
        return [ids[k] for k in self._ecg_positions]

    def beside(self, split: Split) -> FusionPairs:
        """Open another part of the same cohort, without change of the data."""
        return FusionPairs(self._cohort, split)

    def truth(self, position: int) -> dict[str, Any]:
        """Return the film's row of the index: label, scores, probability."""
        return self.xray.truth(self._xray_positions[position])

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Moderate or severe stenosis, ``(len,)``, 0 or 1."""
        return np.array([int(self.truth(k)["label"]) for k in range(len(self))])

    def windows(self, position: int, most: int) -> npt.NDArray[np.float32]:
        """Return windows of a patient's ECG, ``(windows, 12, 1000)``."""
        return self.ecg.windows(self._ecg_positions[position], most)

    def films(self, positions: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return films without change, ``(B, 1, size, size)``."""
        arrays = self.xray.batch([self._xray_positions[k] for k in positions], None)
        return np.asarray(arrays["films"])

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read pairs.

        Parameters
        ----------
        positions
            Which of the patients.
        rng
            Draws window, noise and change of the film; None for the middle and none.

        Returns
        -------
        ``windows`` float32 ``(B, 12, 1000)``, ``films`` uint8 ``(B, 1, size, size)``, ``label``
        float32 ``(B,)``.
        """
        windows = self.ecg.batch([self._ecg_positions[k] for k in positions], rng)["windows"]
        films = self.xray.batch([self._xray_positions[k] for k in positions], rng)["films"]
        return {
            "windows": windows,
            "films": films,
            "label": self.labels_of(positions),
        }

    def labels_of(self, positions: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the labels of some patients."""
        return np.array([self.truth(k)["label"] for k in positions], np.float32)


def held_out(cohort: Path) -> tuple[FusionPairs, ...]:
    """Return all patients of the cohort beside, in their three parts; none without one."""
    folder = cohort / HELD_OUT
    if not (folder / "xray_index.json").exists():
        return ()
    return tuple(FusionPairs(folder, split) for split in SPLITS)
