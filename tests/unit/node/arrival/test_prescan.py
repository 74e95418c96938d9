"""The header walk: agrees with pydicom on real instances, and survives every other one."""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.arrival.header import Header
from node.arrival.part10 import read_head
from node.arrival.prescan import HeaderGoesOnError, ScanLimits, UnreadableHeaderError, prescan
from node.errors import BadObjectError
from tests.dicom_wire import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, dataset, element

ROOT = Path(__file__).resolve().parents[4]
SAMPLES = sorted([*ROOT.glob("sample_dicom/*.dcm"), *ROOT.glob("tests/data/*.dcm")])
BIG_ENDIAN = "1.2.840.10008.1.2.2"
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<HHI", 0xFFFE, number, 0) for number in (0xE000, 0xE00D, 0xE0DD)
)
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 1 << 13), st.data())
def test_a_beginning_of_a_damaged_dataset_tells_the_same(
    path: Path, size: int, data: st.DataObject
) -> None:
    dataset_, syntax = sample(path)
    changed = bytearray(dataset_[: 1 << 16])
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, min(4000, len(changed) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    with contextlib.suppress(HeaderGoesOnError):
        of_beginning = told(bytes(changed[:size]), syntax, len(changed))
        assert of_beginning == told(bytes(changed), syntax, len(changed))


def told(data: bytes, syntax: str, size: int) -> tuple[str, Header]:
    """What a scan finds: a defect, and the header as far as it was read."""
    try:
        return "", prescan(data, syntax, dataset_bytes=size)
    except UnreadableHeaderError as error:
        return str(error), error.partial


@cache
def sample(path: Path) -> tuple[bytes, str]:
    """A sample's dataset and its transfer syntax."""
    data = path.read_bytes()
    head = read_head(data)
    return data[head.dataset_at :], head.transfer_syntax_uid


def defect(data: bytes, syntax: str = IMPLICIT_LE, limits: ScanLimits | None = None) -> str:
    with pytest.raises(UnreadableHeaderError) as caught:
        prescan(data, syntax, limits)
    return str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_beginning_tells_the_same_or_that_it_is_too_short(path: Path) -> None:
    data, syntax = sample(path)
    whole = prescan(data, syntax)
    long_enough = 0
    for size in sorted({*range(0, 4096, 61), 1 << 14, 1 << 16, 1 << 17, len(data)}):
        try:
            assert prescan(data[:size], syntax, dataset_bytes=len(data)) == whole
            long_enough += 1
        except HeaderGoesOnError:
            assert size < len(data)
    assert long_enough >= 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_it_reads_what_pydicom_reads(path: Path) -> None:
    head = read_head(path.read_bytes())
    header = prescan(path, head.transfer_syntax_uid, dataset_at=head.dataset_at)
    expected = pydicom.dcmread(path, stop_before_pixels=True)

    assert header == prescan(*sample(path))
    assert header.sop_class_uid == head.sop_class_uid == expected.SOPClassUID
    assert header.sop_instance_uid == head.sop_instance_uid == expected.SOPInstanceUID
    assert header.study_instance_uid == expected.StudyInstanceUID
    assert header.series_instance_uid == expected.SeriesInstanceUID
    assert header.modality == expected.Modality
    assert header.patient_id == (expected.get("PatientID") or "").encode()
    assert header.issuer == (expected.get("IssuerOfPatientID") or "").encode()
    assert header.birth_date == (expected.get("PatientBirthDate") or "")
    assert header.rows == expected.get("Rows")
    assert header.columns == expected.get("Columns")
    assert header.frames == expected.get("NumberOfFrames")
    assert header.bits_allocated == expected.get("BitsAllocated")
    assert header.samples == expected.get("SamplesPerPixel")


def test_there_are_samples() -> None:
    assert len(SAMPLES) >= 10


def test_big_endian() -> None:
    ds = pydicom.Dataset()
    ds.SOPClassUID = CT_IMAGE
    ds.SOPInstanceUID = "1.2.3"
    ds.Rows = 513
    ds.ReferencedImageSequence = [pydicom.Dataset()]
    ds.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.4"
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=False)
    header = prescan(buffer.getvalue(), BIG_ENDIAN)
    assert (header.rows, header.sop_instance_uid) == (513, "1.2.3")


def test_an_empty_dataset_has_an_empty_header(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert prescan(path, EXPLICIT_LE) == prescan(b"", EXPLICIT_LE)
    assert prescan(b"", EXPLICIT_LE).sop_instance_uid == ""


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_cut_anywhere(path: Path) -> None:
    data, syntax = sample(path)
    for part in range(64):
        try:
            prescan(data[: len(data) * part // 64], syntax)
        except UnreadableHeaderError as error:
            assert isinstance(error.partial, Header)


def test_native_pixels_that_are_cut_off() -> None:
    whole = dataset(CT_IMAGE, "1.2.3", tail=element(0x7FE0, 0x0010, b"\0" * 64))
    assert prescan(whole, IMPLICIT_LE).patient_id == b"P1"
    assert defect(whole[:-1]) == "its pixels are cut off"


def nested(depth: int, implicit: bool, defined: bool) -> bytes:
    value = b""
    for _ in range(depth):
        if defined:
            value = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
            length = len(value)
        else:
            value, length = OPEN_ITEM + value + ITEM_END + SEQUENCE_END, UNDEFINED
        head = struct.pack("<HH", 0x0008, 0x1140)
        head += b"" if implicit else b"SQ\0\0"
        value = head + struct.pack("<I", length) + value
    return value


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("syntax", [IMPLICIT_LE, EXPLICIT_LE])
def test_depth(syntax: str, defined: bool) -> None:
    implicit = syntax == IMPLICIT_LE
    assert prescan(nested(32, implicit, defined), syntax).problems == ()
    for depth in (33, 1000, 2000):
        assert "nested deeper" in defect(nested(depth, implicit, defined), syntax)


def test_depth_counts_in_unknown_values_too() -> None:
    inner = nested(40, implicit=True, defined=True)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    unknown = struct.pack("<HH2sxxI", 0x0009, 0x1010, b"UN", len(item)) + item
    assert "nested deeper" in defect(unknown, EXPLICIT_LE)


def test_many_items_and_elements_are_refused_soon() -> None:
    items = struct.pack("<HHI", 0x0008, 0x1140, UNDEFINED) + ITEM * 400_000 + SEQUENCE_END
    empty = element(0x0009, 0x1001, b"") * 400_000
    for data, what in ((items, "items"), (empty, "elements")):
        began = time.perf_counter()
        assert what in defect(data)
        assert time.perf_counter() - began < 5.0


def test_a_length_beyond_the_end_allocates_nothing() -> None:
    data = struct.pack("<HHI", 0x0008, 0x0018, 0xFFFFFFF0) + b"1" * 300
    tracemalloc.start()
    try:
        assert "longer than what is left" in defect(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_wrong_transfer_syntax_is_noticed() -> None:
    explicit, _ = sample(ROOT / "sample_dicom" / "ecg12_mortara_1000hz.dcm")
    assert defect(explicit, IMPLICIT_LE)
    assert "encoding is another" in defect(dataset(CT_IMAGE, "1.2.3"), EXPLICIT_LE)
    assert defect(dataset(CT_IMAGE, "1.2.3"), BIG_ENDIAN)


def test_deflated_is_refused() -> None:
    assert defect(b"\x78\x9c", "1.2.840.10008.1.2.1.99") == "its dataset is deflated"


def test_the_partial_header_keeps_what_came_before_the_defect() -> None:
    with pytest.raises(UnreadableHeaderError) as caught:
        prescan(dataset(CT_IMAGE, "1.2.3", tail=b"\x21\0\0\0"), IMPLICIT_LE)
    assert caught.value.partial.sop_instance_uid == "1.2.3"
    assert caught.value.partial.patient_id == b"P1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (element(0x0002, 0x0010, b"1.2\0"), "file meta"),
        (element(0x0000, 0x0010, b"1.2\0"), "command"),
        (dataset(CT_IMAGE, "1.2") + dataset(CT_IMAGE, "1.3"), "twice"),
        (ITEM, "outside of a sequence"),
        (b"\x08\0\x18", "cut off"),
        (struct.pack("<HHI", 8, 0x1140, 4) + ITEM[:4], ""),
        (struct.pack("<HHI", 8, 0x1140, UNDEFINED) + ITEM, "cut off"),
        (struct.pack("<HHI", 8, 0x1140, UNDEFINED) + element(8, 8, b""), "between its items"),
        (struct.pack("<HHI", 8, 0x1140, UNDEFINED) + ITEM[:4] + b"\x99\0\0\0", "longer"),
    ],
)
def test_defects(data: bytes, reason: str) -> None:
    if reason:
        assert reason in defect(data)
    else:
        assert prescan(data, IMPLICIT_LE).problems


def test_values_of_the_wrong_kind_are_problems() -> None:
    header = prescan(
        b"".join(
            (
                element(0x0008, 0x0018, b"../../../tmp/x"),
                element(0x0010, 0x0020, b"7" * 5000),
                element(0x0028, 0x0008, b"1e9 "),
                element(0x0028, 0x0010, struct.pack("<I", 480)),
                element(0x0028, 0x0011, struct.pack("<H", 640)),
            )
        ),
        IMPLICIT_LE,
    )
    assert (header.sop_instance_uid, header.patient_id) == ("", b"")
    assert (header.frames, header.rows, header.columns) == (None, None, 640)
    assert len(header.problems) == 4
    assert "tmp" not in "".join(header.problems)


def test_declared_pixels_beyond_the_cap_are_a_problem() -> None:
    header = prescan(
        element(0x0028, 0x0008, b"100000")
        + element(0x0028, 0x0010, b"\xff\xff")
        + element(0x0028, 0x0011, b"\xff\xff")
        + element(0x0028, 0x0100, b"\x10\0"),
        IMPLICIT_LE,
    )
    assert header.pixel_bytes == 65535 * 65535 * 2 * 100_000
    assert any("bytes of pixels" in each for each in header.problems)


def check_survival(data: bytes, syntax: str) -> None:
    began = time.perf_counter()
    with contextlib.suppress(BadObjectError):
        prescan(data, syntax)
    assert time.perf_counter() - began < 2.0


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(SAMPLES),
    changes=st.lists(
        st.tuples(st.integers(0, 12_000), st.binary(min_size=1, max_size=8)), max_size=12
    ),
    syntax=st.sampled_from(["", IMPLICIT_LE, EXPLICIT_LE, BIG_ENDIAN]),
)
def test_it_survives_changed_headers(
    path: Path, changes: list[tuple[int, bytes]], syntax: str
) -> None:
    data, true_syntax = sample(path)
    changed = bytearray(data[:24_000])
    for at, new in changes:
        at %= len(changed)
        changed[at : at + len(new)] = new
    check_survival(bytes(changed), syntax or true_syntax)


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([ITEM, ITEM_END, SEQUENCE_END, OPEN_ITEM]),
            st.binary(max_size=12),
            st.builds(element, st.integers(8, 40), st.integers(0, 0x1200), st.binary(max_size=20)),
        ),
        max_size=40,
    ),
    syntax=st.sampled_from([IMPLICIT_LE, EXPLICIT_LE, BIG_ENDIAN]),
)
def test_it_survives_anything(pieces: list[bytes], syntax: str) -> None:
    check_survival(b"".join(pieces), syntax)
