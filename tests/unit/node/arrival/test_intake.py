"""What is acknowledged, what is quarantined, and what is refused (reliability catalogue)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.arrival.header import Header
from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.part10 import read_head
from node.arrival.spool import Spool
from node.errors import BadObjectError, StorageFullError
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from tests.build import make_ecg, save
from tests.dicom_wire import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, dataset, element

ROOT = Path(__file__).resolve().parents[4]
REQUEST = StoreRequest(CT_IMAGE, "1.2.3.4", IMPLICIT_LE, "ECHO1")


@dataclass
class Recorder:
    """Stands for the ledger."""

    fails: Exception | None = None
    arrivals: list[tuple[Arrival, str | None]] = field(default_factory=list)

    def __call__(self, arrival: Arrival, reason: str | None) -> ArrivalOutcome:
        if self.fails is not None:
            raise self.fails
        self.arrivals.append((arrival, reason))
        return ArrivalOutcome.STORED


@dataclass
class Bench:
    """An intake with its spool and recorder."""

    data_dir: Path
    recorder: Recorder
    intake: Intake

    def take(self, data: bytes, request: StoreRequest = REQUEST) -> StoreStatus:
        part = self.intake.begin(request)
        part.write(data)
        status = self.intake.take(part, request)
        assert list((self.data_dir / "spool" / "in").iterdir()) == []
        return status

    @property
    def only(self) -> tuple[Arrival, str | None]:
        (arrival,) = self.recorder.arrivals
        return arrival


def is_own(header: Header) -> bool:
    return header.sop_instance_uid.startswith("2.25.")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    recorder = Recorder()
    spool = Spool(tmp_path, reserve_bytes=0)
    return Bench(tmp_path, recorder, Intake(spool, recorder, is_own, lambda p, i: f"{p!r}{i!r}"))


def test_a_good_instance(bench: Bench) -> None:
    assert bench.take(dataset(CT_IMAGE, "1.2.3.4")) is StoreStatus.SUCCESS
    arrival, reason = bench.only
    assert reason is None
    blob = Spool(bench.data_dir, 0).path_of(arrival.sha256)
    assert blob.stat().st_size == arrival.size_bytes
    assert arrival == Arrival(
        sha256=arrival.sha256,
        size_bytes=arrival.size_bytes,
        sop_class_uid=CT_IMAGE,
        sop_instance_uid="1.2.3.4",
        series_instance_uid="1.2.3.2",
        study_instance_uid="1.2.3.1",
        transfer_syntax_uid=IMPLICIT_LE,
        modality="CT",
        patient_key="b'P1'b''",
        calling_ae_title="ECHO1",
        own_result=False,
    )


def test_the_sender_is_not_part_of_the_blob(bench: Bench) -> None:
    other = StoreRequest(CT_IMAGE, "1.2.3.4", IMPLICIT_LE, "PACS")
    bench.take(dataset(CT_IMAGE, "1.2.3.4"))
    bench.take(dataset(CT_IMAGE, "1.2.3.4"), other)
    assert len({arrival.sha256 for arrival, _ in bench.recorder.arrivals}) == 1


def test_own_results_are_marked(bench: Bench) -> None:
    request = StoreRequest(CT_IMAGE, "2.25.1", IMPLICIT_LE, "PACS")
    assert bench.take(dataset(CT_IMAGE, "2.25.1"), request) is StoreStatus.SUCCESS
    assert bench.only[0].own_result


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", StoreStatus.CANNOT_UNDERSTAND),
        (dataset(CT_IMAGE, "1.2.3.5"), StoreStatus.DATASET_MISMATCH),
        (dataset("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"), StoreStatus.DATASET_MISMATCH),
        (element(0x0010, 0x0020, b"P1"), StoreStatus.DATASET_MISMATCH),
        (dataset(CT_IMAGE, "1.2.3.5", tail=b"\0"), StoreStatus.DATASET_MISMATCH),
    ],
)
def test_refused(bench: Bench, data: bytes, status: StoreStatus) -> None:
    assert bench.take(data) is status
    assert bench.recorder.arrivals == []
    assert list((bench.data_dir / "spool" / "obj").glob("*/*")) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            element(0x0008, 0x0016, CT_IMAGE.encode() + b"\0")
            + element(0x0008, 0x0018, b"1.2.3.4\0")
            + element(0x0010, 0x0020, b"P1")
            + element(0x0020, 0x000D, b"../../x\0"),
            "no_identity: study and series missing or malformed",
        ),
        (dataset(CT_IMAGE, "1.2.3.4", tail=b"\x21\0\0"), "an element is cut off"),
        (b"garbage that is not DICOM", "an element is longer than what is left of it"),
    ],
)
def test_quarantined_and_acknowledged(bench: Bench, data: bytes, reason: str) -> None:
    assert bench.take(data) is StoreStatus.SUCCESS
    arrival, quarantine_reason = bench.only
    assert quarantine_reason == reason
    assert arrival.sop_instance_uid == "1.2.3.4"
    assert ".." not in arrival.study_instance_uid
    assert Spool(bench.data_dir, 0).path_of(arrival.sha256).exists()


def test_the_wrong_transfer_syntax_is_quarantined(bench: Bench) -> None:
    request = StoreRequest(CT_IMAGE, "1.2.3.4", EXPLICIT_LE, "ECHO1")
    assert bench.take(dataset(CT_IMAGE, "1.2.3.4"), request) is StoreStatus.SUCCESS
    assert "encoding" in (bench.only[1] or "")


@pytest.mark.parametrize("error", [OSError(5, "EIO"), RuntimeError("bug"), ValueError("bug")])
def test_no_success_without_a_ledger_row(bench: Bench, error: Exception) -> None:
    bench.recorder.fails = error
    assert bench.take(dataset(CT_IMAGE, "1.2.3.4")) is StoreStatus.OUT_OF_RESOURCES


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_head_that_can_not_be_written_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "write", failing_with(code))
    with pytest.raises((OSError, StorageFullError)):
        bench.intake.begin(REQUEST)
    assert list((bench.data_dir / "spool" / "in").iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


@pytest.mark.parametrize("call", ["os.fdatasync", "pathlib.Path.rename"])
def test_a_disk_that_can_not_even_remove_the_part_is_told_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(call, failing_with(errno.EROFS))
    monkeypatch.setattr(Path, "unlink", failing_with(errno.EROFS))
    part = bench.intake.begin(REQUEST)
    part.write(dataset(CT_IMAGE, "1.2.3.4"))
    assert bench.intake.take(part, REQUEST) is StoreStatus.OUT_OF_RESOURCES
    assert bench.recorder.arrivals == []


def failing_with(code: int) -> Callable[..., int]:
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_file_is_taken_like_what_is_sent(bench: Bench) -> None:
    path = ROOT / "sample_dicom" / "echo_a4c_sonosite_30f_small.dcm"
    assert bench.intake.take_file(path, "process") is StoreStatus.SUCCESS
    arrival, reason = bench.only
    assert reason is None
    stored = Spool(bench.data_dir, 0).path_of(arrival.sha256).read_bytes()
    original = path.read_bytes()
    stored_at, original_at = (read_head(data).dataset_at for data in (stored, original))
    assert stored[stored_at:] == original[original_at:]


def test_what_is_no_dicom_file_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no DICOM")
    with pytest.raises(BadObjectError):
        bench.intake.take_file(path, "process")


def test_what_pairing_needs_is_recorded_and_the_date_of_birth_only_as_a_hash(
    tmp_path: Path,
) -> None:
    recorder = Recorder()
    spool = Spool(tmp_path, reserve_bytes=0)
    intake = Intake(
        spool, recorder, is_own, lambda p, i: "patient", birth_key=lambda *who: f"hash of {who}"
    )
    ds = make_ecg(patient="P9", AcquisitionDateTime="20240102030405", IssuerOfPatientID="A")
    path = save(ds, tmp_path)
    assert intake.take_file(path, "ECG1") is StoreStatus.SUCCESS
    ((arrival, _),) = recorder.arrivals
    assert arrival.birth_key == "hash of (b'P9', b'A', '19500102')"
    assert arrival.acquired_at == 1704164645.0
