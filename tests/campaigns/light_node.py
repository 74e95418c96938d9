"""A whole node with one finding and a folder to deliver to, for campaigns over the network."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.campaigns.memory import descriptors, threads
from tests.dicom_wire import (
    ASSOCIATE_AC,
    COMMAND_END,
    IMPLICIT_LE,
    P_DATA,
    VERIFICATION,
    associate_rq,
    element,
    p_data,
    pdu,
    read_pdu,
    status_of,
)
from tests.node_process import NodeProcess, wait_until

#: What a sender says and hears in an instant, a busy machine needs seconds for.
ANSWER_S = 30.0
RELEASE_RQ, RELEASE_RP = pdu(0x05, b"\0\0\0\0"), 0x06
_CALM_S = 60.0
#: Beside other campaigns a start takes its time.
_START_S = 900.0
#: Files and threads that come and go by themselves: readers of the ledger, timers.
_SPARE = 8


@contextmanager
def light_node(folder: Path, **listen: float) -> Iterator[NodeProcess]:
    """A node that has started, and is ended whatever happens."""
    node = NodeProcess(
        folder, 0,
        {
            "findings": {"enabled": ["echo_view"], "captures": "none"},
            "grouping": {"quiet_s": 3600.0}, "decode": {"children": 1, "memory_mb": 1024},
            "listen": {"max_pending_per_address": 64, **listen},
            "node": {"data_dir": "var", "device": "cpu", "disk_reserve_mb": 64, "workers": 1},
        },
        destination={"kind": "folder", "path": "out"},
    )  # fmt: skip
    try:
        node.spawn()
        wait_until(lambda: node.is_ready or not node.is_alive, _START_S, "the node's start")
        assert node.is_alive, node.log[-2000:]
        yield node
    finally:
        node.end()


def connect(node: NodeProcess) -> socket.socket:
    """A connection to the node."""
    return socket.create_connection(("127.0.0.1", node.port), timeout=ANSWER_S)


def echo(sock: socket.socket) -> bool:
    """Ask a connection that has an association with context 1 for an echo."""
    sock.sendall(p_data(1, COMMAND_END, ECHO_COMMAND))
    kind, body = read_pdu(sock)
    return kind == P_DATA and status_of(body) == 0


def associate(sock: socket.socket, sop_class: str = VERIFICATION) -> bool:
    """Begin an association with context 1."""
    sock.sendall(associate_rq([(1, sop_class, [IMPLICIT_LE])]))
    return read_pdu(sock)[0] == ASSOCIATE_AC


def release(sock: socket.socket) -> bool:
    """End an association as it should be."""
    sock.sendall(RELEASE_RQ)
    return read_pdu(sock)[0] == RELEASE_RP


def _echo_command() -> bytes:
    """A C-ECHO-RQ (PS3.7 section 9.3.5.1)."""
    elements = b"".join(
        (
            element(0x0000, 0x0002, VERIFICATION.encode() + b"\0"),
            element(0x0000, 0x0100, b"\x30\0"),
            element(0x0000, 0x0110, b"\1\0"),
            element(0x0000, 0x0800, b"\1\1"),
        )
    )
    return element(0x0000, 0x0000, len(elements).to_bytes(4, "little")) + elements


ECHO_COMMAND = _echo_command()


@dataclass(frozen=True)
class Vitals:
    """What a node holds: none of it may be more after a campaign than before."""

    pids: frozenset[int]
    threads: int
    descriptors: int

    @classmethod
    def of(cls, node: NodeProcess) -> Vitals:
        """Of all processes of a node."""
        pids = node.pids
        return cls(frozenset(pids), sum(map(threads, pids)), sum(map(descriptors, pids)))


def check_calm(node: NodeProcess, before: Vitals) -> None:
    """Wait until a node holds no more than it did, and no part of an instance."""

    def is_calm() -> bool:
        with contextlib.suppress(OSError):  # A process may end while it is looked at.
            now = Vitals.of(node)
            return (
                len(now.pids) <= len(before.pids)
                and now.threads <= before.threads + _SPARE
                and now.descriptors <= before.descriptors + _SPARE
                and not list(node.data_dir.spool_in.iterdir())
            )
        return False

    assert node.is_alive, node.log[-2000:]
    wait_until(is_calm, _CALM_S, f"a calm node; before: {before}, now: {Vitals.of(node)}")


@dataclass(frozen=True)
class Step:
    """A PDU, and whether its sender waits for an answer to it."""

    pdu: bytes
    waits: bool


class RecordingProxy:
    """Stands between a sender and a node, and keeps what the sender says."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def record(self, command: list[str]) -> list[Step]:
        """Run a program that sends one association through the proxy; return what it said."""
        said, answered_at = bytearray(), set[int]()
        worker = threading.Thread(target=self._serve, args=(said, answered_at))
        worker.start()
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        worker.join()
        assert done.returncode == 0, done.stdout + done.stderr
        steps, at = [], 0
        for each in pdus_of(bytes(said)):
            at += len(each)
            steps.append(Step(each, at in answered_at))
        return steps

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _serve(self, said: bytearray, answered_at: set[int]) -> None:
        sender, _ = self._listening.accept()
        with sender, connect(self._node) as node:
            back = threading.Thread(
                target=_pour, args=(node, sender, lambda _: answered_at.add(len(said)))
            )
            back.start()
            _pour(sender, node, said.extend)
            with contextlib.suppress(OSError):
                node.shutdown(socket.SHUT_WR)
            back.join()


def _pour(source: socket.socket, target: socket.socket, keep: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            keep(part)
            target.sendall(part)


def dcmtk(name: str) -> str:
    """Find a program of DCMTK; without it the test is skipped."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin")
    if found is None:
        pytest.skip(f"needs: {name}")
    return found


def pdus_of(said: bytes) -> list[bytes]:
    """A sender's bytes, cut into PDUs."""
    found = []
    at = 0
    while at + 6 <= len(said):
        end = at + 6 + int.from_bytes(said[at + 2 : at + 6], "big")
        found.append(said[at:end])
        at = end
    return found
