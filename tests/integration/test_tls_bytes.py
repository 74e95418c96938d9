"""Bytes over TLS that come late, in pieces, or not at all (B.3: 1, 2, 9)."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    P_DATA,
    p_data,
    pdu,
    read_pdu,
    status_of,
    store_command,
)
from tests.running_listener import Node, running, send, small_ds, wait_until
from tests.tls_site import (
    REQUEST,
    STORE,
    ByHand,
    Site,
    answer,
    client,
    client_hello,
    connect,
    refusals,
    tls_node,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site.at(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def node(site: Site, tmp_path: Path) -> Iterator[Node]:
    with tls_node(site, tmp_path) as node:
        yield node


# Who takes its time


def test_idle_and_dribbling_handshakes_keep_nobody_out(node: Node, site: Site) -> None:
    threads = threading.active_count()
    hello = client_hello()
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(node.listener.tls_address, 10.0))
            for _ in range(60)
        ]
        for at in range(min(len(hello), 40)):
            for sock in idle[30:]:
                with suppress(OSError):
                    sock.sendall(hello[at : at + 1])
            if at % 10 == 0:
                context = client(site, site.echo)
                ds = small_ds(f"1.2.3.{at + 1}")
                assert send(node.listener.tls_address, ds, tls=context) == [0]
        assert threading.active_count() <= threads + 4
    assert len(node.recorder.arrivals) == 4


@pytest.mark.parametrize("sent", [0, 1, 50])
def test_a_handshake_has_the_deadline_of_a_request(node: Node, sent: int) -> None:
    began = time.monotonic()
    with socket.create_connection(node.listener.tls_address, 10.0) as sock:
        sock.sendall(client_hello()[:sent])
        with suppress(ConnectionError):
            assert sock.recv(1) == b""
    assert 1.0 < time.monotonic() - began < 8.0
    assert node.metric('node_associations_total{result="too_late"}') == 1


def test_silence_after_the_handshake_has_the_same_deadline(node: Node, site: Site) -> None:
    began = time.monotonic()
    with connect(node, client(site, site.echo)) as sock:
        sock.sendall(REQUEST[:20])
        with suppress(OSError):
            assert sock.recv(1) == b""
    assert 1.0 < time.monotonic() - began < 8.0


@pytest.mark.parametrize("is_reset", [False, True])
def test_probes_that_only_connect(
    node: Node, site: Site, is_reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (b"", client_hello()[:30]) * 100:
        with socket.create_connection(node.listener.tls_address, 10.0) as sock:
            sock.sendall(sent)
            if is_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert answer(node, client(site, site.echo))[0] == ASSOCIATE_AC
    assert refusals(caplog) == []


def test_a_handshake_costs_bounded_memory(node: Node) -> None:
    # A handshake message may say that it has 16 MiB; OpenSSL ends it at the first odd byte.
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"\0" * (0x4000 - 4)
    before = resident_bytes()
    for _ in range(20):
        with socket.create_connection(node.listener.tls_address, 10.0) as sock, suppress(OSError):
            for _ in range(64):
                sock.sendall(record)
    assert resident_bytes() - before < 8 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


# How bytes come


def test_records_need_not_be_pdus(node: Node, site: Site) -> None:
    with connect(node, client(site, site.echo)) as sock:
        for at in range(0, len(REQUEST), 7):
            sock.sendall(REQUEST[at : at + 7])
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        for _ in range(3):
            sock.sendall(STORE)  # Two PDUs in one record: the second is in no system buffer.
            assert status_of(read_pdu(sock)[1]) == 0x0000
        for at in range(len(STORE)):
            sock.sendall(STORE[at : at + 1])
        assert status_of(read_pdu(sock)[1]) == 0x0000
    wait_until(lambda: node.listener.association_count == 0)


def test_a_part_of_a_record_does_not_hold_an_answer_back(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    settings: dict[str, Any] = {"tls": site.tls(), "sender": (sender,), "pdu_deadline_s": 60.0}
    with running(tmp_path, **settings) as node:
        arrived, go_on = threading.Event(), threading.Event()

        def slow() -> None:
            arrived.set()
            go_on.wait(20.0)

        node.recorder.before = slow
        with socket.create_connection(node.listener.tls_address, 20.0) as sock:
            peer = ByHand(sock, client(site, site.echo))
            peer.send(REQUEST)
            assert peer.receive()[0] == ASSOCIATE_AC
            peer.send(STORE)
            assert arrived.wait(20.0)
            sock.sendall(peer.encrypted(pdu(0x05, b"\0" * 4))[:9])
            time.sleep(0.3)  # Time for the node to notice those bytes.
            began = time.monotonic()
            go_on.set()
            kind, body = peer.receive()
            assert (kind, status_of(body)) == (P_DATA, 0x0000)
            assert time.monotonic() - began < 15.0


def test_a_record_that_never_ends_counts_as_silence(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    settings: dict[str, Any] = {"tls": site.tls(), "sender": (sender,), "idle_timeout_s": 0.8}
    with running(tmp_path, **settings) as node:
        with socket.create_connection(node.listener.tls_address, 20.0) as sock:
            peer = ByHand(sock, client(site, site.echo))
            peer.send(REQUEST)
            assert peer.receive()[0] == ASSOCIATE_AC
            with suppress(OSError):
                for byte in peer.encrypted(STORE) * 10:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.02)
                    if node.listener.association_count == 0:
                        break
        wait_until(lambda: node.listener.association_count == 0)
        assert node.is_untouched()


@pytest.mark.parametrize("farewell", ["close", "reset", "amid a record"])
def test_an_end_amid_a_dataset_leaves_nothing(node: Node, site: Site, farewell: str) -> None:
    begun = p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
    begun += p_data(1, DATASET, b"x" * 10_000) * 20
    with socket.create_connection(node.listener.tls_address, 20.0) as sock:
        peer = ByHand(sock, client(site, site.echo))
        peer.send(REQUEST)
        assert peer.receive()[0] == ASSOCIATE_AC
        peer.send(begun)
        wait_until(lambda: len(node.parts()) == 1)
        if farewell == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif farewell == "amid a record":
            sock.sendall(peer.encrypted(begun)[:1000])
    wait_until(lambda: node.listener.association_count == 0)
    assert node.is_untouched()


def test_stop_ends_every_association(site: Site, tmp_path: Path) -> None:
    sender = site.sender(certificate_sha256=(site.echo.sha256,))
    with running(tmp_path, tls=site.tls(), sender=(sender,)) as node:
        with connect(node, client(site, site.echo)) as sock:
            sock.sendall(REQUEST)
            assert read_pdu(sock)[0] == ASSOCIATE_AC
            node.listener.stop(drain_s=1.0)
            with suppress(OSError):
                assert read_pdu(sock)[0] in (ABORT, 0)
        with pytest.raises(ConnectionError):
            socket.create_connection(node.listener.tls_address)
