"""Reads the simulated chest films of a cohort, with what they measure.

The array is memory-mapped; a batch copies only what it uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from train.datasets.phantom import NO_JITTER, Arrays, Jitter, resize
from train.splits import Split, rows_of

#: What is known of a patient, in the order of ``measures`` of a batch.
FILM_MEASURES = ("ctr", "arch_calcium", "score")


class XrayFilms:
    """Films as the node hands them to the network.

    Parameters
    ----------
    cohort
        Folder with ``xray_films.npy`` and ``xray_index.json``.
    split
        Part of the patients.
    size
        Side of the films that are handed out.
    jitter
        Applied in training only.
    autocontrast
        Probability that training stretches a film's grey to the whole range.
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        size: int = 224,
        jitter: Jitter = NO_JITTER,
        autocontrast: float = 0.0,
    ) -> None:
        self._index: list[dict[str, Any]] = json.loads((cohort / "xray_index.json").read_text())
        self._films = np.load(cohort / "xray_films.npy", mmap_mode="r")
        self._rows = rows_of([row["patient_id"] for row in self._index], split)
        self._size = size
        self._jitter = jitter
        self._autocontrast = autocontrast

    def __len__(self) -> int:
        """Count the films."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each film."""
        return [int(self._index[row]["patient_id"]) for row in self._rows]

    def truth(self, position: int) -> dict[str, Any]:
        """Return a film's row of the index."""
        return self._index[self._rows[position]]

    def measures(self) -> npt.NDArray[np.float64]:
        """Return FILM_MEASURES of all films, ``(len, 3)``."""
        return np.array([[self._index[row][name] for name in FILM_MEASURES] for row in self._rows])

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read films: ``films`` uint8 ``(B, 1, size, size)``, ``measures`` float32 ``(B, 3)``."""
        rows = [self._rows[position] for position in positions]
        films = resize(np.stack([self._films[row] for row in rows]), self._size)
        if rng is not None:
            films = np.stack([self._changed(film, rng) for film in films])
        measures = [[self._index[row][name] for name in FILM_MEASURES] for row in rows]
        return {"films": films[:, None], "measures": np.array(measures, np.float32)}

    def _changed(
        self, film: npt.NDArray[np.uint8], rng: np.random.Generator
    ) -> npt.NDArray[np.uint8]:
        if self._jitter != NO_JITTER:
            film = self._jitter.grey_table(rng)[self._jitter.move(film, rng)]
        return stretched(film) if rng.random() < self._autocontrast else film


def stretched(film: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Stretch grey so that it begins at 0 and ends at 255."""
    low, high = int(film.min()), int(film.max())
    table = np.clip((np.arange(256) - low) * 255.0 / max(high - low, 1), 0, 255)
    return np.asarray(np.round(table).astype(np.uint8)[film])
