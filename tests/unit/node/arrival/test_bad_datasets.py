"""Datasets that lie, from the sender's bytes to the facts: stored, put aside, or read with care."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.part10 import encode_head, read_head
from node.arrival.spool import Spool
from node.decode.child import answer_to
from node.decode.instance import read_facts, read_header
from node.decode.instance_stream import InstanceStream
from node.decode.limits import Limits
from node.errors import BadObjectError
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from node.results.structured_report import build_report
from tests import build_instances as build
from tests.dicom_wire import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, dataset, element
from tests.results_objects import lvef_result, report_context

ROOT = Path(__file__).resolve().parents[4]
ENHANCED_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
_LIMITS = Limits(memory_bytes=1 << 30, cpu_s=10.0, decoded_bytes=8 << 20)

pytestmark = [
    # pydicom warns about what is odd, in the sender's role.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Taken:
    """What an intake made of an instance."""

    def __init__(self, folder: Path) -> None:
        self.arrival: Arrival | None = None
        self.reason: str | None = None
        self.spool = Spool(folder, reserve_bytes=0)
        self.intake = Intake(self.spool, self._record, lambda _: False, lambda p, i: p.hex())

    def _record(self, arrival: Arrival, reason: str | None) -> ArrivalOutcome:
        self.arrival, self.reason = arrival, reason
        return ArrivalOutcome.STORED

    def send(self, data: bytes, syntax: str = IMPLICIT_LE) -> StoreStatus:
        request = StoreRequest(CT_IMAGE, "1.2.3", syntax, "ECHO1")
        part = self.intake.begin(request)
        part.write(data)
        return self.intake.take(part, request)

    @property
    def blob(self) -> Path:
        assert self.arrival is not None
        return self.spool.path_of(self.arrival.sha256)


@pytest.fixture
def taken(tmp_path: Path) -> Taken:
    return Taken(tmp_path)


def explicit(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An explicit VR element with a 32-bit length."""
    size = len(value) if length is None else length
    return struct.pack("<HH2sxxI", tag >> 16, tag & 0xFFFF, vr, size) + value


def explicit_dataset(tail: bytes) -> bytes:
    """A dataset in explicit VR, like :func:`tests.dicom_wire.dataset`."""
    values = (
        (0x00080016, b"UI", CT_IMAGE.encode() + b"\0"), (0x00080018, b"UI", b"1.2.3\0"),
        (0x00080060, b"CS", b"CT"), (0x00100020, b"LO", b"P1"),
        (0x0020000D, b"UI", b"1.2.3.1\0"), (0x0020000E, b"UI", b"1.2.3.2\0"),
    )  # fmt: skip
    packed = (
        struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
        for tag, vr, value in values
    )
    return b"".join(packed) + tail


def nested(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        value = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
        value = struct.pack("<HHI", 0x0040, 0x0275, len(value)) + value
    return value


_MANY_ITEMS = struct.pack("<HHI", 0x0040, 0x0275, 0xFFFFFFFF) + 400_000 * struct.pack(
    "<HHI", 0xFFFE, 0xE000, 0
)


@pytest.mark.parametrize(
    ("data", "syntax", "reason"),
    [
        pytest.param(dataset(CT_IMAGE, "1.2.3", tail=nested(33)), IMPLICIT_LE, "nested", id="33"),
        pytest.param(dataset(CT_IMAGE, "1.2.3", tail=nested(1000)), IMPLICIT_LE, "nested", id="1k"),
        pytest.param(dataset(CT_IMAGE, "1.2.3", tail=nested(2000)), IMPLICIT_LE, "nested", id="2k"),
        pytest.param(
            dataset(CT_IMAGE, "1.2.3", tail=_MANY_ITEMS), IMPLICIT_LE, "items", id="400k items"
        ),
        pytest.param(
            dataset(CT_IMAGE, "1.2.3", tail=struct.pack("<HHI", 0x0040, 0x0275, 0xFFFFFFF0)),
            IMPLICIT_LE, "longer than what is left", id="a length of 4 GiB",
        ),
        pytest.param(
            dataset(CT_IMAGE, "1.2.3"), EXPLICIT_LE, "its encoding is another", id="not explicit"
        ),
        pytest.param(dataset(CT_IMAGE, "1.2.3"), BIG_ENDIAN, "", id="not big endian"),
        pytest.param(explicit_dataset(b""), IMPLICIT_LE, "", id="not implicit"),
        pytest.param(
            explicit_dataset(explicit(0x00400275, b"??", b"")), EXPLICIT_LE,
            "value representation is unknown", id="VR ??",
        ),
        pytest.param(
            explicit_dataset(explicit(0x00400275, b"OB", b"", 0xFFFFFFFF)), EXPLICIT_LE,
            "a length is undefined", id="bytes without end",
        ),
        pytest.param(
            dataset(CT_IMAGE, "1.2.3", tail=element(0x0010, 0x0020, b"P2")), IMPLICIT_LE, "twice",
            id="two patients in one",
        ),
        pytest.param(
            element(0x0002, 0x0010, b"1.2.840.10008.1.2.1\0") + dataset(CT_IMAGE, "1.2.3"),
            IMPLICIT_LE, "file meta elements", id="group 2",
        ),
    ],
)  # fmt: skip
def test_stored_and_put_aside_with_a_reason(
    taken: Taken, data: bytes, syntax: str, reason: str
) -> None:
    """A sender that is refused an image loses it; one that lies still has sent evidence."""
    assert taken.send(data, syntax) is StoreStatus.SUCCESS
    assert taken.reason is not None and reason in taken.reason
    assert taken.blob.read_bytes().endswith(data)


def test_a_deflated_bomb_is_not_inflated(taken: Taken) -> None:
    bomb = zlib.compress(b"\0" * (64 << 20), 9)[2:-4]
    assert len(bomb) < 100_000
    assert taken.send(bomb, str(DeflatedExplicitVRLittleEndian)) is StoreStatus.SUCCESS
    assert taken.reason == "its dataset is deflated"
    assert taken.blob.stat().st_size < 100_000


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(element(0x0009, 0x1010, b"\0" * (8 << 20)), id="private bytes"),
        pytest.param(
            element(0x0032, 0x1060, b"b") + element(0x0018, 0x0015, b"a "), id="out of order"
        ),
        pytest.param(element(0x0032, 0x1060, b"b") * 2, id="twice, but no identity"),
        pytest.param(
            element(0x0010, 0x0010, b"=cmd()|' /C calc'!A0^'; DROP TABLE instances;--"),
            id="a name that is code",
        ),
        pytest.param(
            element(0x0010, 0x0010, b"\x1b[2J\r\n<script>alert(1)</script>=="),
            id="a name of tricks",
        ),
        pytest.param(element(0x0008, 0x0005, b"ISO 2022 IR 999\\\xff"), id="no character set"),
    ],
)
def test_what_is_odd_is_taken_as_it_is(taken: Taken, tail: bytes) -> None:
    data = dataset(CT_IMAGE, "1.2.3", tail=tail)
    assert taken.send(data) is StoreStatus.SUCCESS
    assert taken.reason is None
    assert taken.blob.read_bytes().endswith(data)
    assert taken.arrival is not None and taken.arrival.patient_key == b"P1".hex()


def test_every_64th_of_a_real_instance(tmp_path: Path) -> None:
    """An instance that is cut off is stored, and put aside unless only pixels may be missing."""
    whole = (ROOT / "sample_dicom" / "ecg12_mortara_1000hz.dcm").read_bytes()
    head = read_head(whole)
    data = whole[head.dataset_at :]
    taken = Taken(tmp_path)
    request = StoreRequest(
        head.sop_class_uid, head.sop_instance_uid, head.transfer_syntax_uid, "ECG"
    )
    for part_of_64 in range(1, 64):
        part = taken.intake.begin(request)
        part.write(data[: len(data) * part_of_64 // 64])
        assert taken.intake.take(part, request) is StoreStatus.SUCCESS
        assert taken.reason, part_of_64


@pytest.mark.parametrize(
    "preamble", [b"MZ" + b"\x90" * 126, b"\x7fELF" + b"\1" * 124, b"<html>".ljust(128)]
)
def test_a_preamble_that_is_a_program_is_not_kept(
    taken: Taken, tmp_path: Path, preamble: bytes
) -> None:
    content = encode_head(CT_IMAGE, "1.2.3", IMPLICIT_LE) + dataset(CT_IMAGE, "1.2.3")
    path = tmp_path / "polyglot.dcm"
    path.write_bytes(preamble + content[128:])
    assert taken.intake.take_file(path, "process") is StoreStatus.SUCCESS
    assert taken.blob.read_bytes() == content


def test_a_file_that_names_another_instance_than_it_holds(taken: Taken, tmp_path: Path) -> None:
    path = tmp_path / "other.dcm"
    path.write_bytes(encode_head(CT_IMAGE, "1.2.4", IMPLICIT_LE) + dataset(CT_IMAGE, "1.2.3"))
    assert taken.intake.take_file(path, "process") is StoreStatus.DATASET_MISMATCH
    assert taken.arrival is None


# After arrival: what a decoder reads of it


@pytest.mark.parametrize(
    ("keyword", "good", "bad"),
    [
        ("FrameTime", b"20.5", b"NaN "),
        ("FrameTime", b"20.5555", b"1e99999"),
        ("FrameTime", b"20.5", b"-20 "),
        ("FrameTime", b"20.55", b"\xff\xfe20 "),
        ("HeartRate", b"60", b"-1"),
        ("HeartRate", b"60606060606060", b"99999999999999"),
        ("SeriesNumber", b"7777777777777", b"9999999999999"),
        ("SeriesNumber", b"77", b"x7"),
        ("StudyDate", b"20200101", b"99999999"),
        ("PatientAge", b"060Y", b"-1YY"),
        ("PatientBirthDate", b"19500102", b"0000\0\xff00"),
        ("LossyImageCompressionRatio", b"10.5", b"inf "),
    ],
)
def test_a_value_that_is_none_is_no_value(
    keyword: str, good: bytes, bad: bytes, tmp_path: Path
) -> None:
    """Numbers and dates that are none cost at most what needs them, never the decoder."""
    ds = build.echo(build.grey_frames(3))
    setattr(ds, keyword, good.decode())
    path = build.save(ds, tmp_path / "instance.dcm")
    content = path.read_bytes()
    tag = struct.pack("<HH", *divmod(ds[keyword].tag, 1 << 16)) + ds[keyword].VR.encode()
    at = content.index(tag) + 8
    path.write_bytes(content[:at] + bad.ljust(len(good)) + content[at + len(good) :])
    said = answer_to({"path": str(path), "scratch": str(tmp_path / "scratch")}, _LIMITS)
    assert set(said) <= {"bad"} or "facts" in said, said
    if "bad" in said:
        assert bad.decode("ascii", "replace").strip() not in said["bad"]


def test_a_multiframe_object_without_its_functional_groups(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(3))
    ds.SOPClassUID = ENHANCED_VOLUME
    del ds.FrameTime
    del ds.FrameIncrementPointer
    ds.SharedFunctionalGroupsSequence = Sequence([])
    path = build.save(ds, tmp_path / "instance.dcm")
    with (
        InstanceStream(path) as stream,
        pytest.raises(BadObjectError, match="functional groups"),
    ):
        read_facts(*read_header(stream, path))


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (b"ISO_IR 192", b"M\xfcller^\xff\xfe"),
        (b"ISO 2022 IR 87", b"\x1b$B\x1b$B\x1b"),
        (b"GB18030", b"\x81\xff\xff\x81"),
        (b"no such set", b"M\xfcller"),
    ],
)
def test_a_character_set_that_lies(character_set: bytes, name: bytes, tmp_path: Path) -> None:
    """The report's own texts are of the set that it names (PS3.3 section C.12.1.1.2)."""
    path = tmp_path / "source.dcm"
    source = dcmread(ROOT / "sample_dicom" / "echo_a4c_sonosite_30f_small.dcm")
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 100", "@" * 12
    source.save_as(path)
    content = path.read_bytes()
    content = content.replace(b"@" * 12, name.ljust(12), 1)
    was = b"CS" + struct.pack("<H", 10) + b"ISO_IR 100"
    padded = character_set + b" " * (len(character_set) % 2)
    path.write_bytes(content.replace(was, b"CS" + struct.pack("<H", len(padded)) + padded, 1))
    source = dcmread(path, stop_before_pixels=True)
    assert source.SpecificCharacterSet == character_set.decode()
    build_report(lvef_result(source), [source], report_context()).save_as(tmp_path / "report.dcm")
    report = dcmread(tmp_path / "report.dcm")
    codecs = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "ISO 2022 IR 87": "iso2022_jp"}
    assert report.get_item("PatientName").value.decode(codecs[report.SpecificCharacterSet])
