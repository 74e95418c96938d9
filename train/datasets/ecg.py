"""Reads the simulated ECGs of a cohort: windows of some leads with what they measure.

The arrays are memory-mapped; a recording is conditioned as the node does it when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import LEADS, RATE_HZ, WINDOW, condition, cut_windows
from train.datasets.phantom import Arrays
from train.phantom.ecg.recording import MICROVOLTS
from train.splits import Split, rows_of

#: What is known of a patient, in the order of ``measures`` of a batch.
PATIENT_MEASURES = ("log_voltage", "qrs_ms_without_block", "block", "strain", "score")
_BLOCK_MS = 50.0
#: Leads that Sokolow and Lyon's voltage needs; drawn this much more often than others.
_TELLING = (LEADS.index("V1"), LEADS.index("V5"))
_TELLING_ODDS = 12.0


class EcgWindows:
    """Windows of recordings of 10 s.

    Parameters
    ----------
    cohort
        Folder with ``ecg_samples.npy``, ``ecg_measures.npy`` and ``ecg_index.json``.
    split
        Part of the patients.
    leads
        How many leads training draws for each window; lead V1 and V5 are drawn most often.
    noise_mv
        White noise that training adds: its standard deviation is drawn up to this.
    size
        Samples of a window. One of less than 2 s is put around a heart beat.
    """

    def __init__(
        self,
        cohort: Path,
        split: Split,
        leads: int = len(LEADS),
        noise_mv: float = 0.0,
        size: int = WINDOW,
    ) -> None:
        self._index: list[dict[str, Any]] = json.loads((cohort / "ecg_index.json").read_text())
        self._samples = np.load(cohort / "ecg_samples.npy", mmap_mode="r")
        self._measures = np.load(cohort / "ecg_measures.npy", mmap_mode="r")
        self._rows = rows_of([row["patient_id"] for row in self._index], split)
        self._size = size
        self._leads = leads
        self._noise_mv = noise_mv
        self._tokens: npt.NDArray[np.float16] | None = None

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self._rows)

    @property
    def patient_ids(self) -> list[int]:
        """The patient of each recording."""
        return [int(self._index[row]["patient_id"]) for row in self._rows]

    def truth(self, position: int) -> dict[str, Any]:
        """Return a recording's row of the index."""
        return self._index[self._rows[position]]

    def recording(
        self, position: int, leads: Sequence[int] | slice = slice(None)
    ) -> npt.NDArray[np.float32]:
        """Return some leads of a conditioned recording, ``(leads, 5000)``, mV at 500 Hz."""
        stored = self._samples[self._rows[position]][leads]
        return condition(stored * (MICROVOLTS / 1000.0), RATE_HZ)

    def windows(self, position: int, most: int) -> npt.NDArray[np.float32]:
        """Return windows of one recording as the node cuts them, ``(windows, 12, 1000)``."""
        return cut_windows(self.recording(position), most)[0]

    def remember(self, tokens: npt.NDArray[np.float16]) -> None:
        """Hand out what a network's lower part made of the windows, instead of windows.

        Parameters
        ----------
        tokens
            float16 ``(len, windows, 12, 256)``; training draws one of the windows.
        """
        self._tokens = tokens

    def batch(self, positions: Sequence[int], rng: np.random.Generator | None) -> Arrays:
        """Read windows.

        Parameters
        ----------
        positions
            Which of the recordings.
        rng
            Draws window, leads and noise; None for all leads of the middle.

        Returns
        -------
        ``windows`` float32 ``(B, K, size)``, mV; ``leads`` int64 ``(B, K)``, positions in LEADS;
        ``lead_measures`` float32 ``(B, K, 4)``, mV, see train.phantom.ecg.recording;
        ``measures`` float32 ``(B, 5)``, PATIENT_MEASURES. After :meth:`remember`, ``tokens``
        float32 ``(B, 12, 256)`` are in the place of windows.
        """
        if self._tokens is not None:
            return self._remembered(self._tokens, positions, rng)
        windows, leads = [], []
        for position in positions:
            chosen = np.arange(len(LEADS)) if rng is None else self._draw_leads(rng)
            signal = self.recording(position, chosen.tolist())
            start = self._start(position, signal.shape[1], rng)
            window = signal[:, start : start + self._size]
            level = 0.0 if rng is None else rng.uniform(0, self._noise_mv)
            if rng is not None and level > 0:
                window += (level * rng.normal(size=window.shape)).astype(np.float32)
            windows.append(window)
            leads.append(chosen)
        truth = self._truth(positions, leads)
        return {"windows": np.stack(windows), "leads": np.stack(leads).astype(np.int64), **truth}

    def all_measures(self) -> npt.NDArray[np.float64]:
        """Return PATIENT_MEASURES of all recordings, ``(len, 5)``."""
        return np.array([_measures(self._index[row]) for row in self._rows])

    def all_lead_measures(self) -> npt.NDArray[np.float64]:
        """Return the leads' measures of all recordings, ``(len, 12, 4)``."""
        return np.asarray(self._measures[self._rows], np.float64)

    def _remembered(
        self,
        tokens: npt.NDArray[np.float16],
        positions: Sequence[int],
        rng: np.random.Generator | None,
    ) -> Arrays:
        count = tokens.shape[1]
        drawn = [count // 2 if rng is None else int(rng.integers(count)) for _ in positions]
        leads = np.tile(np.arange(len(LEADS)), (len(positions), 1))
        chosen = tokens[list(positions), drawn].astype(np.float32)
        return {"tokens": chosen, "leads": leads, **self._truth(positions, list(leads))}

    def _truth(self, positions: Sequence[int], leads: Sequence[npt.NDArray[np.int64]]) -> Arrays:
        rows = [self._rows[position] for position in positions]
        per_lead = [self._measures[row][chosen] for row, chosen in zip(rows, leads, strict=True)]
        return {
            "lead_measures": np.stack(per_lead).astype(np.float32),
            "measures": np.array([_measures(self._index[row]) for row in rows], np.float32),
        }

    def _start(self, position: int, samples: int, rng: np.random.Generator | None) -> int:
        room = samples - self._size
        if self._size >= WINDOW:
            return room // 2 if rng is None else int(rng.integers(room + 1))
        peaks = np.array(self.truth(position)["r_peaks_ms"]) * (RATE_HZ / 1000.0)
        inner = peaks[(peaks > self._size / 2) & (peaks < room)]
        peak = inner[len(inner) // 2 if rng is None else int(rng.integers(len(inner)))]
        before = 0.35 if rng is None else rng.uniform(0.2, 0.5)
        return int(np.clip(peak - before * self._size, 0, room))

    def _draw_leads(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw without replacement, unequal odds by exponential keys (Efraimidis 2006)."""
        keys = rng.exponential(size=len(LEADS))
        keys[list(_TELLING)] /= _TELLING_ODDS
        return np.sort(np.argsort(keys)[: self._leads])


def _measures(row: dict[str, Any]) -> list[float]:
    narrow = row["qrs_ms"] - (_BLOCK_MS if row["lbbb"] else 0.0)
    voltage = float(np.log(row["voltage_mv"]))
    return [voltage, narrow, float(row["lbbb"]), row["strain"], row["scores_ecg"]]
