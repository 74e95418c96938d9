"""What a sender is told on an association, byte by byte, and what hostile peers cost."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_tools import tool
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    EXPLICIT_LE,
    IMPLICIT_LE,
    P_DATA,
    RELEASE_RP,
    VERIFICATION,
    associate_rq,
    dataset,
    element,
    p_data,
    pdu,
    read_pdu,
    status_of,
    store_command,
)
from tests.running_listener import Node, running, send, small_ds, wait_until

ROOT = Path(__file__).resolve().parents[2]
PIXELS = struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF)
ECHO = element(0, 0x0002, VERIFICATION.encode() + b"\0") + element(0, 0x0100, b"\x30\0")
ECHO += element(0, 0x0110, b"\1\0") + element(0, 0x0800, b"\1\1")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as node:
        yield node


def store(uid: str = "1.2.3") -> bytes:
    return p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid.encode())) + p_data(
        1, DATASET_END, dataset(CT_IMAGE, uid)
    )


# What is said


@pytest.mark.parametrize(
    ("data", "abort"),
    [
        (pdu(0x0C, b""), b"\0\0\2\1"),  # PS3.8 table 9-26: unrecognised
        (pdu(0x02, b"\0" * 10), b"\0\0\2\2"),  # unexpected
        (associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])]), b"\0\0\2\2"),
        (pdu(P_DATA, b"", length=1 << 30), b"\0\0\2\6"),  # an invalid value
        (pdu(P_DATA, struct.pack(">IBB", 99, 1, 3)), b"\0\0\2\6"),
        (pdu(P_DATA, b""), b"\0\0\2\6"),
        (p_data(9, COMMAND_END, b"x"), b"\0\0\0\0"),  # by the service user
        (p_data(1, DATASET_END, b"x"), b"\0\0\0\0"),
        (p_data(1, COMMAND_END, b"garbage"), b"\0\0\0\0"),
    ],
)
def test_an_abort_says_who_and_why(node: Node, data: bytes, abort: bytes) -> None:
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(data)
        assert read_pdu(sock) == (ABORT, abort)
        assert sock.recv(1) == b""


def test_a_release_is_answered(node: Node) -> None:
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(store() + pdu(0x05, b"\0" * 4))
        assert status_of(read_pdu(sock)[1]) == 0x0000
        assert read_pdu(sock) == (RELEASE_RP, b"\0" * 4)
    wait_until(lambda: node.listener.association_count == 0)


def test_another_protocol_version_is_rejected(node: Node) -> None:
    request = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])])
    with node.connect() as sock:
        sock.sendall(request[:6] + b"\0\2" + request[8:])
        assert read_pdu(sock) == (ASSOCIATE_RJ, b"\0\1\2\2")
    assert node.metric('node_associations_total{result="rejected"}') == 1


def test_a_request_that_is_damaged_inside_is_aborted(node: Node) -> None:
    request = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])])
    broken = request.replace(b"\x20\0\0\x2e", b"\x20\0\xff\xff")
    assert broken != request
    with node.connect() as sock:
        sock.sendall(broken)
        assert read_pdu(sock) == (ABORT, b"\0\0\2\6")


def test_one_packet_may_hold_a_whole_message(node: Node) -> None:
    both = store()
    first, second = both[6 : 6 + struct.unpack_from(">I", both, 2)[0]], b""
    second = both[6 + len(first) + 6 :]
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(pdu(P_DATA, first + second))
        assert status_of(read_pdu(sock)[1]) == 0x0000


def test_a_peer_with_tiny_packets_gets_its_answer_in_pieces(node: Node) -> None:
    request = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])])
    at = request.index(struct.pack(">I", 16384))
    with node.connect() as sock:
        sock.sendall(request[:at] + struct.pack(">I", 20) + request[at + 4 :])
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        sock.sendall(p_data(1, COMMAND_END, ECHO))
        control = 0
        while control != COMMAND_END:
            kind, body = read_pdu(sock)
            assert kind == P_DATA
            assert len(body) <= 20
            control = body[5]


def test_an_echo_beside_stores(node: Node) -> None:
    with node.associated(CT_IMAGE, VERIFICATION) as sock:
        for at in range(3):
            sock.sendall(store(f"1.2.3.{at}"))
            assert status_of(read_pdu(sock)[1]) == 0x0000
            sock.sendall(p_data(3, COMMAND_END, ECHO))
            assert status_of(read_pdu(sock)[1]) == 0x0000
    assert node.recorder.sop_instance_uids == ["1.2.3.0", "1.2.3.1", "1.2.3.2"]


def test_a_store_where_none_was_negotiated_is_refused(node: Node) -> None:
    with node.associated(VERIFICATION) as sock:
        for named in (CT_IMAGE, VERIFICATION):
            sock.sendall(p_data(1, COMMAND_END, store_command(named.encode(), b"1.2.3")))
            sock.sendall(p_data(1, DATASET_END, dataset(named, "1.2.3")))
            assert status_of(read_pdu(sock)[1]) == 0x0122
    assert node.is_untouched()


# How bytes come


def test_the_stream_may_be_cut_anywhere(node: Node) -> None:
    source = random.Random(5)
    stream = b"".join(store(f"1.2.3.{at}") for at in range(4))
    with node.associated(CT_IMAGE) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = 0
        while at < len(stream):
            size = source.randint(1, 200)
            sock.sendall(stream[at : at + size])
            at += size
            time.sleep(0.001)
        assert [status_of(read_pdu(sock)[1]) for _ in range(4)] == [0x0000] * 4
    assert len(node.recorder.arrivals) == 4


@pytest.mark.parametrize("with_nagle", [True, False])
def test_dcmtk_sends_many(node: Node, with_nagle: bool, tmp_path: Path) -> None:
    paths = []
    for at in range(20):
        ds = small_ds(f"1.2.3.{at}")
        paths.append(tmp_path / f"{at}.dcm")
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(paths[-1], enforce_file_format=True)
    host, port = node.address
    subprocess.run(
        [tool("storescu"), "-R", host, str(port), *map(str, paths)],
        env=os.environ | ({} if with_nagle else {"TCP_NODELAY": "1"}),
        check=True,
        timeout=60,
    )
    assert sorted(node.recorder.sop_instance_uids) == sorted(f"1.2.3.{at}" for at in range(20))
    assert node.metric('node_store_requests_total{ae="STORESCU",status="0x0000"}') == 20


# Who wants to keep others out


def hostile(address: tuple[str, int], seed: int) -> None:
    """Do one of the things that strangers do; the node may cut it at any point."""
    source = random.Random(seed)
    with suppress(OSError), socket.create_connection(address, timeout=3.0) as sock:
        manner = seed % 6
        if manner == 0:
            sock.recv(1)  # says nothing
        elif manner == 1:
            sock.sendall(source.randbytes(2000))
        elif manner == 2:
            sock.sendall(pdu(0x01, b"", length=1 << 31) + b"\0" * 100_000)
        else:
            sock.sendall(associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])]))
            if read_pdu(sock)[0] == ASSOCIATE_AC:
                if manner == 3:
                    sock.sendall(store()[:-1])  # never ends
                elif manner == 4:
                    sock.sendall(source.randbytes(5000))
                else:
                    sock.sendall(pdu(P_DATA, b"", length=1 << 31))
                sock.recv(1)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_senders_get_through_while_200_hostile_peers_try(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "max_associations": 100,
        "max_pending_per_address": 32,
        "idle_timeout_s": 2.0,
    }
    with running(tmp_path, **settings) as node:
        assert send(node.address, small_ds("1.2.3.0")) == [0]
        before = resident_bytes()
        threads = [
            threading.Thread(target=hostile, args=(node.address, seed)) for seed in range(200)
        ]
        for thread in threads:
            thread.start()
        for at in range(1, 6):
            assert send(node.address, small_ds(f"1.2.3.{at}")) == [0]
        for thread in threads:
            thread.join()
        wait_until(lambda: node.listener.association_count == 0, 20.0)
        assert sorted(node.recorder.sop_instance_uids) == [f"1.2.3.{at}" for at in range(6)]
        assert node.parts() == []
        rejected = 'node_pdu_rejected_total{reason="length"}'
        assert node.metric(rejected) > 0
        assert resident_bytes() - before < 64 << 20  # the threads of this test among it


# Size


def send_large(node: Node, size_bytes: int) -> int:
    """Send one instance of that many bytes of pixels; how much the process grew meanwhile."""
    with node.connect() as sock:
        sock.sendall(associate_rq([(1, CT_IMAGE, [EXPLICIT_LE])]))
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        sock.sendall(p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3")))
        sock.settimeout(120.0)
        fragment = p_data(1, DATASET, b"\0" * 131_066)
        head = b"".join(
            struct.pack("<HH2sH", group, number, vr, len(value)) + value
            for group, number, vr, value in (
                (0x0008, 0x0016, b"UI", CT_IMAGE.encode() + b"\0" * (len(CT_IMAGE) % 2)),
                (0x0008, 0x0018, b"UI", b"1.2.3\0"),
                (0x0020, 0x000D, b"UI", b"1.2.3.1\0"),
                (0x0020, 0x000E, b"UI", b"1.2.3.2\0"),
            )
        )
        sock.sendall(p_data(1, DATASET, head + PIXELS))
        before = most = resident_bytes()
        for at in range(size_bytes // 131_066):
            sock.sendall(fragment)
            if at % 64 == 0:
                most = max(most, resident_bytes())
        sock.sendall(p_data(1, DATASET_END, b""))
        assert status_of(read_pdu(sock)[1]) == 0x0000
        most = max(most, resident_bytes())
    ((arrival, reason),) = node.recorder.arrivals
    assert reason is None
    assert node.spool.path_of(arrival.sha256).stat().st_size == arrival.size_bytes
    assert arrival.size_bytes > size_bytes - 131_066
    return most - before


@pytest.mark.parametrize(
    "size_mib", [64, pytest.param(1024, marks=[pytest.mark.campaign, pytest.mark.timeout(0)])]
)
def test_a_large_instance_takes_constant_memory(tmp_path: Path, size_mib: int) -> None:
    with running(tmp_path, max_object_bytes=2 << 30, pdu_deadline_s=60.0) as node:
        assert send_large(node, size_mib << 20) < 8 << 20
