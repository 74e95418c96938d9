"""Reader of PTB-XL, on records written as the WFDB manual says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.ecg import LEADS
from train.datasets.ptbxl import BadRecordError, read_database, read_record

_COLUMNS = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr"


def _write(folder: Path, name: str = "00001_hr", gain: str = "1000.0(0)/mV") -> np.ndarray:
    stored = np.random.default_rng(0).integers(-3000, 3000, (12, 50)).astype("<i2")
    (folder / f"{name}.dat").write_bytes(np.ascontiguousarray(stored.T).tobytes())
    lines = [f"{name} 12 500 50"]
    lines += [f"{name}.dat 16 {gain} 16 0 {x[0]} 0 0 {n.upper()}"
              for n, x in zip(LEADS, stored, strict=True)]  # fmt: skip
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return stored


def test_a_record(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    (group,) = read_record(tmp_path / "00001_hr").groups
    assert group.leads == LEADS
    assert group.sampling_hz == 500.0
    np.testing.assert_allclose(group.millivolts, stored / 1000.0, atol=1e-6)


@pytest.mark.parametrize(
    ("gain", "scale", "zero"),
    [("200(100)/mV", 1 / 200, 100), ("2/uV", 1 / 2000, 0), ("500", 1 / 500, 0)],
)
def test_gain_baseline_and_unit(gain: str, scale: float, zero: int, tmp_path: Path) -> None:
    stored = _write(tmp_path, gain=gain)
    millivolts = read_record(tmp_path / "00001_hr.hea").groups[0].millivolts
    np.testing.assert_allclose(millivolts, (stored - zero) * scale, rtol=1e-5, atol=1e-6)


def test_samples_that_were_not_recorded_are_zero(tmp_path: Path) -> None:
    stored = _write(tmp_path)
    stored[4, 7] = -32768
    (tmp_path / "00001_hr.dat").write_bytes(np.ascontiguousarray(stored.T).tobytes())
    millivolts = read_record(tmp_path / "00001_hr").groups[0].millivolts
    assert millivolts[4, 7] == 0.0


def test_comments_are_skipped(tmp_path: Path) -> None:
    _write(tmp_path)
    header = tmp_path / "00001_hr.hea"
    header.write_text("# a remark\n" + header.read_text() + "# another\n")
    assert read_record(header).groups[0].millivolts.shape == (12, 50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(" 16 1000", " 212 1000"), "format 212 is not 16"),
        (lambda text: text.replace("12 500 50", "12 500 60"), "600 samples, 720 announced"),
        (lambda text: text.replace("/mV", "/mmHg", 1), "mmHg is not a unit of voltage"),
        (lambda text: text.split("\n")[0], "signals are missing"),
        (lambda _: "", "is not a header"),
    ],
)
def test_what_can_not_be_read(change: object, words: str, tmp_path: Path) -> None:
    _write(tmp_path)
    header = tmp_path / "00001_hr.hea"
    header.write_text(change(header.read_text()))  # type: ignore[operator]
    with pytest.raises(BadRecordError, match=words):
        read_record(header)


def test_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "records500" / "00000"
    folder.mkdir(parents=True)
    _write(folder)
    rows = [
        "1,15709.0,56.0,1,\"{'NORM': 100.0, 'SR': 0.0}\",3,,records500/00000/00001_hr",
        "2,13243.0,300.0,0,\"{'LVH': 100.0}\",10,,records500/00000/00002_hr",
    ]
    (tmp_path / "ptbxl_database.csv").write_text("\n".join([_COLUMNS, *rows]) + "\n")
    (record,) = read_database(tmp_path)  # the second one's signals are not there
    assert (record.ecg_id, record.patient_id, record.fold) == (1, 15709, 3)
    assert record.statements == {"NORM": 100.0, "SR": 0.0}
    assert (record.age_years, record.sex) == (56.0, "F")
    assert read_record(record.path).groups[0].millivolts.shape == (12, 50)
    _write(folder, "00002_hr")
    assert read_database(tmp_path)[1].age_years == 90.0
