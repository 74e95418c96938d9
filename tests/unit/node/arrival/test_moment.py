"""When an instance was acquired, from what its header says."""

from __future__ import annotations

import struct
from datetime import datetime

import pytest

from node.arrival.identity import birth_key
from node.arrival.moment import acquisition_moment
from node.arrival.prescan import prescan
from tests.build import encode, make_ecg

ACQUISITION_DATE_TIME = 0x0008002A
ACQUISITION = (0x00080022, 0x00080032)
CONTENT = (0x00080023, 0x00080033)
STUDY = (0x00080020, 0x00080030)


def at(moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime(1970, 1, 1)).total_seconds()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({ACQUISITION_DATE_TIME: "20240102030405.500+0100"}, "2024-01-02T03:04:05.5"),
        ({ACQUISITION_DATE_TIME: "20240102"}, "2024-01-02T12:00"),
        ({ACQUISITION_DATE_TIME: "202401", STUDY[0]: "20240103"}, "2024-01-03T12:00"),
        (
            {ACQUISITION[0]: "20240102", ACQUISITION[1]: "0304", STUDY[0]: "20240101"},
            "2024-01-02T03:04",
        ),
        (
            {CONTENT[0]: "20240102", CONTENT[1]: "030460", STUDY[0]: "20230101"},
            "2024-01-02T03:04:59",
        ),
        # The time belongs to its own date, never to another one.
        (
            {CONTENT[1]: "010203", STUDY[0]: "20240102", STUDY[1]: "040506"},
            "2024-01-02T04:05:06",
        ),
        ({ACQUISITION[0]: "20240102", STUDY[1]: "040506"}, "2024-01-02T12:00"),
        ({STUDY[0]: "2024.01.02", STUDY[1]: "10:11:12"}, "2024-01-02T10:11:12"),
        ({STUDY[0]: "20240102", STUDY[1]: "99"}, "2024-01-02T12:00"),
        ({STUDY[0]: "20240230"}, None),
        ({STUDY[0]: "00010101"}, None),
        ({STUDY[0]: "unknown"}, None),
        ({}, None),
    ],
)
def test_the_first_valid_date_counts_with_its_own_time(
    texts: dict[int, str], expected: str | None
) -> None:
    assert acquisition_moment(texts) == (expected and at(expected))


def test_a_header_tells_it() -> None:
    ds = make_ecg(AcquisitionDateTime="20240506070809")
    data = encode(ds)
    # past preamble, DICM and the group length element of 12 bytes
    (meta_bytes,) = struct.unpack_from("<I", data, 140)
    header = prescan(data, "1.2.840.10008.1.2.1", dataset_at=144 + meta_bytes)
    assert header.acquired_at == at("2024-05-06T07:08:09")


def test_a_birth_date_is_hashed_with_its_patient() -> None:
    key = birth_key(b"site", b"P1", b"", "19500102")
    assert len(key) == 64
    assert key == birth_key(b"site", b"P1", b"", "1950.01.02")
    others = [
        birth_key(b"other site", b"P1", b"", "19500102"),
        birth_key(b"site", b"P2", b"", "19500102"),
        birth_key(b"site", b"P1", b"A", "19500102"),
        birth_key(b"site", b"P1", b"", "19500103"),
    ]
    assert len({key, *others}) == 5
    assert [birth_key(b"site", b"P1", b"", wrong) for wrong in ("", "1950", "00000000")] == [""] * 3
    assert birth_key(b"site", b"", b"", "19500102") == ""
