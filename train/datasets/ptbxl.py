"""Reads PTB-XL, a public data set of twelve-lead ECGs.

Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset", Sci. Data 2020.
The folder holds ``ptbxl_database.csv`` and the records that it names, in WFDB format 16 (headers as
the WFDB manual describes them, section "header(5)").
"""

from __future__ import annotations

import ast
import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.ecg import LEADS
from models.inputs import Recording, Waveform

_DATABASE = "ptbxl_database.csv"
_GAIN = re.compile(r"^([0-9.eE+-]+)(?:\((-?\d+)\))?(?:/(\w+))?$")
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
_NAMES = {name.upper(): name for name in LEADS}
_INVALID = -32768  # format 16's code for a sample that was not recorded


class BadRecordError(ValueError):
    """A WFDB record can't be read; the message says why."""


@dataclass(frozen=True, slots=True)
class EcgRecord:
    """A row of the database.

    Attributes
    ----------
    ecg_id, patient_id
        Numbers of the record and of the person.
    path
        Of the record, without suffix.
    statements
        SCP code to likelihood in percent; 0 where it is not given.
    fold
        1 to 10, of whole patients; by convention 9 validates and 10 tests.
    age_years, sex
        None where not known; ages above 89 are 300 in the database and come out as 90.
    """

    ecg_id: int
    patient_id: int
    path: Path
    statements: dict[str, float]
    fold: int
    age_years: float | None
    sex: str | None


def read_database(folder: Path) -> list[EcgRecord]:
    """Read the rows whose records of 500 Hz are in the folder."""
    with (folder / _DATABASE).open(encoding="utf-8", newline="") as lines:
        rows = [_record(folder, row) for row in csv.DictReader(lines)]
    return [row for row in rows if row.path.with_suffix(".hea").exists()]


def read_record(path: Path) -> Recording:
    """Read a record of format 16.

    Parameters
    ----------
    path
        Without suffix, or of the header.

    Raises
    ------
    BadRecordError
        It has another format, or its signals are not of the length that the header says.
    """
    header = path.with_suffix(".hea")
    lines = [
        line.split()
        for line in header.read_text(encoding="latin-1").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    try:
        count, hz, samples = int(lines[0][1]), float(lines[0][2].split("/")[0]), int(lines[0][3])
        signals = [_Signal.of(words) for words in lines[1 : 1 + count]]
    except (IndexError, ValueError) as error:
        raise BadRecordError(f"{header.name} is not a header: {error}") from error
    files = {signal.file for signal in signals}
    if len(signals) != count or len(files) != 1:
        raise BadRecordError(f"{header.name}: its signals are missing or in several files")
    raw = np.fromfile(header.with_name(files.pop()), "<i2")
    if raw.size != count * samples:
        raise BadRecordError(f"{header.name}: {raw.size} samples, {count * samples} announced")
    stored = raw.reshape(samples, count).T
    return Recording((_waveform(stored, signals, hz),))


@dataclass(frozen=True, slots=True)
class _Signal:
    """A signal's line of the header."""

    file: str
    name: str
    units_per_mv: float
    baseline: int

    @classmethod
    def of(cls, words: list[str]) -> _Signal:
        """Read ``file 16 gain(baseline)/units bits zero first checksum block name``."""
        if words[1] != "16":
            raise ValueError(f"format {words[1]} is not 16")
        match = _GAIN.match(words[2])
        if match is None or not float(match[1]):
            raise ValueError(f"{words[2]} is not a gain")
        # without a baseline of its own the zero of the converter counts (header(5))
        baseline = int(match[2]) if match[2] is not None else int(words[4])
        factor = _MILLIVOLTS.get(match[3] or "mV")
        if factor is None:
            raise ValueError(f"{match[3]} is not a unit of voltage")
        name = " ".join(words[8:])
        return cls(words[0], _NAMES.get(name.upper(), name), float(match[1]) / factor, baseline)


def _waveform(stored: npt.NDArray[np.int16], signals: list[_Signal], hz: float) -> Waveform:
    zeros = np.array([s.baseline for s in signals], np.float64)[:, None]
    gains = np.array([s.units_per_mv for s in signals])[:, None]
    millivolts = np.where(stored == _INVALID, 0.0, (stored - zeros) / gains)
    return Waveform(millivolts.astype(np.float32), tuple(s.name for s in signals), hz)


def _record(folder: Path, row: dict[str, str]) -> EcgRecord:
    statements: dict[str, float] = ast.literal_eval(row["scp_codes"])
    age = float(row["age"]) if row["age"] else None
    return EcgRecord(
        ecg_id=int(row["ecg_id"]),
        patient_id=int(float(row["patient_id"])),
        path=folder / row["filename_hr"],
        statements={str(code): float(share) for code, share in statements.items()},
        fold=int(row["strat_fold"]),
        age_years=None if age is None else min(age, 90.0),
        sex={"0": "M", "1": "F"}.get(row["sex"].split(".")[0]),
    )
