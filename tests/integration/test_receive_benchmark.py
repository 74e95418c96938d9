"""The receive benchmark tells when a receiver has lost or changed something, and its floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.receive.corpus import Sent, make, make_big, make_warm_up
from tests.benchmarks.receive.measurement import Case, Measured, measure
from tests.benchmarks.receive.receivers import ROOT, Receiver, receivers
from tests.benchmarks.receive.report import Report
from tests.benchmarks.receive.station import Station
from tests.benchmarks.receive.verdicts import floor_of, verdicts

_CASE = Case("ecg", 2, nagle=False)


def _receiver(name: str) -> Receiver:
    return next(each for each in receivers(ROOT, None) if each.name == name)


@pytest.fixture
def instances(tmp_path: Path) -> list[Sent]:
    return [instance for _, instance in make(tmp_path / "corpus", {"ecg": 3})]


def test_what_a_receiver_loses_or_changes_is_found(tmp_path: Path, instances: list[Sent]) -> None:
    station = Station(_receiver("pynetdicom-raw"), tmp_path)
    try:
        station.start(make_warm_up(tmp_path))
        measured = measure(station, _CASE, instances)
        assert measured.problem == ""
        assert min(measured.objects_per_s, measured.cpu_ms, measured.peak_mb) > 0.0
        lost, changed = (station.folder / f"{each.sop_instance_uid}.dcm" for each in instances[:2])
        lost.unlink()
        with changed.open("r+b") as file:
            file.seek(-1000, 2)
            byte = file.read(1)
            file.seek(-1000, 2)
            file.write(bytes([byte[0] ^ 1]))
        assert station.missing(instances) == (
            "1 of 3 acknowledged instances are lost; 1 instances have other bytes"
        )
    finally:
        station.end()
    assert sum(p.stat().st_size for p in station.folder.rglob("*") if p.is_file()) == 0


def test_the_sink_takes_everything_and_keeps_nothing(tmp_path: Path, instances: list[Sent]) -> None:
    station = Station(_receiver("sink"), tmp_path)
    try:
        station.start(make_warm_up(tmp_path))
        assert measure(station, _CASE, instances).objects_per_s > 0.0
        assert [each.name for each in station.folder.iterdir()] == ["log"]
    finally:
        station.end()


def test_a_receiver_that_does_not_take_something_has_no_figures(
    tmp_path: Path, instances: list[Sent]
) -> None:
    station = Station(_receiver("sink"), tmp_path)
    try:
        station.start(make_warm_up(tmp_path))
        gone = Sent(str(tmp_path / "gone.dcm"), "1.2.3", 0, 0)
        Path(gone.path).write_bytes(b"no DICOM")
        measured = measure(station, _CASE, [*instances, gone])
        assert measured.objects_per_s == 0.0
        assert "gone.dcm" in measured.problem
    finally:
        station.end()


def test_corpora_are_made_once(tmp_path: Path) -> None:
    first = list(make(tmp_path, {"ecg": 2, "xray": 1, "echo": 1}))
    assert list(make(tmp_path, {"ecg": 2, "xray": 1, "echo": 1})) == first
    sizes = {name: Path(each.path).stat().st_size for name, each in first}
    assert 2.9e6 < sizes["echo"] < 3.6e6
    assert 2.0e6 < sizes["xray"] < 2.2e6
    assert 0.11e6 < sizes["ecg"] < 0.13e6


def test_the_big_instance_is_a_hole(tmp_path: Path) -> None:
    big = make_big(tmp_path, 64 << 20)
    stat = Path(big.path).stat()
    assert stat.st_size == big.payload_at + (64 << 20)
    assert stat.st_blocks * 512 < 1 << 20


def test_floors_are_judged_by_the_rounds_median() -> None:
    fast = [Measured(speed, 1.0, 1.0) for speed in (100.0, 300.0, 200.0)]
    slow = [Measured(100.0, 1.0, 1.0)] * 3
    found = {("node", _CASE): fast, ("orthanc", _CASE): slow, ("storescp", _CASE): slow}
    of_orthanc, of_storescp = verdicts(found)
    assert (of_orthanc.ratio, of_orthanc.lowest, of_orthanc.highest) == (2.0, 1.0, 3.0)
    assert (of_orthanc.says, of_storescp.says) == ("MISS", "PASS")
    report = Report({}, found)
    assert report.misses == [of_orthanc]
    assert "| ecg, 2 senders | orthanc | 2.00 (1.00 to 3.00) | 2.5 | MISS |" in report.markdown()


def test_rounds_with_a_problem_do_not_count() -> None:
    good, bad = Measured(100.0, 1.0, 1.0), Measured(900.0, 1.0, 1.0, "1 of 3 are lost")
    found = {("node", _CASE): [good, good], ("orthanc", _CASE): [bad, good]}
    (verdict,) = verdicts(found)
    assert verdict.ratio == 1.0
    report = Report({}, found)
    assert "| orthanc | failed |" in report.markdown()
    assert report.problems == ["orthanc: ecg, 2 senders: 1 of 3 are lost"]


@pytest.mark.parametrize(
    ("peer", "nagle", "floor"),
    [
        ("orthanc", False, 2.5),
        ("storescp", False, 0.7),
        ("storescp", True, 3.0),
        ("orthanc", True, 3.0),
        ("pynetdicom-raw", True, 3.0),
        ("pynetdicom-raw", False, None),
        ("sink", True, None),
    ],
)
def test_which_floor_applies(peer: str, nagle: bool, floor: float | None) -> None:
    assert floor_of(Case("ecg", 1, nagle), peer) == floor
