"""The node with several listener processes, as its users run it, and killed as no user would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dicom_wire import (
    ASSOCIATE_AC,
    COMMAND_END,
    CT_IMAGE,
    DATASET_END,
    IMPLICIT_LE,
    P_DATA,
    associate_rq,
    dataset,
    p_data,
    read_pdu,
    status_of,
    store_command,
)
from tests.node_process import NodeProcess, free_port, is_running, wait_until
from tests.running_listener import send, small_ds

pytestmark = pytest.mark.slow

_SAID_S = 30.0


@pytest.fixture
def page(tmp_path: Path) -> int:
    return free_port()


@pytest.fixture
def node(tmp_path: Path, page: int) -> Iterator[NodeProcess]:
    node = NodeProcess(
        tmp_path,
        free_port(),
        {
            "listen": {"processes": 2},
            "findings": {"enabled": []},
            "status_page": {"enabled": True, "port": page},
        },
    )
    try:
        node.start()
        yield node
    finally:
        node.end()


def doors(node: NodeProcess) -> list[int]:
    return [pid for pid in node.pids if "node.arrival.door" in _command(pid)]


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def asked(page: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}{path}", timeout=10.0) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        return str(refused.read().decode())


class Machine(threading.Thread):
    """Sends instances until it is told to stop, each until it is acknowledged."""

    def __init__(self, port: int, root: str) -> None:
        super().__init__()
        self._port = port
        self._root = root
        self._stopping = threading.Event()
        self.acknowledged: list[str] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            # The door may be killed at any step of this.
            with contextlib.suppress(OSError), self._connected() as sock:
                sock.sendall(associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])]))
                if read_pdu(sock)[0] == ASSOCIATE_AC:
                    while not self._stopping.is_set():
                        self._send(sock)

    def _connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=10.0)

    def _send(self, sock: socket.socket) -> None:
        uid = f"{self._root}.{len(self.acknowledged)}"
        sock.sendall(
            p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid.encode()))
            + p_data(1, DATASET_END, dataset(CT_IMAGE, uid))
        )
        kind, body = read_pdu(sock)
        if kind == P_DATA and status_of(body) == 0x0000:
            self.acknowledged.append(uid)

    def end(self) -> None:
        self._stopping.set()
        self.join()


def stored(node: NodeProcess) -> set[str]:
    return {each.row.sop_instance_uid for study in node.studies() for each in study.instances}


def test_a_killed_door_loses_nothing(node: NodeProcess, page: int) -> None:
    first = doors(node)
    assert len(first) == 2
    assert json.loads(asked(page, "/readyz"))["ready"]
    machines = [Machine(node.port, f"1.2.{number}") for number in range(4)]
    for machine in machines:
        machine.start()
    try:
        wait_until(lambda: all(len(m.acknowledged) > 5 for m in machines), _SAID_S, "sending")
        os.kill(first[0], signal.SIGKILL)
        before = [len(machine.acknowledged) for machine in machines]
        wait_until(
            lambda: all(
                len(m.acknowledged) > count + 5 for m, count in zip(machines, before, strict=True)
            ),
            _SAID_S,
            "sending again",
        )
        wait_until(lambda: len(doors(node)) == 2, _SAID_S, "another door")
        wait_until(
            lambda: "node_listener_deaths_total 1.0" in asked(page, "/metrics"), _SAID_S, "count"
        )
        wait_until(lambda: json.loads(asked(page, "/readyz"))["ready"], _SAID_S, "being ready")
    finally:
        for machine in machines:
            machine.end()
    acknowledged = {uid for machine in machines for uid in machine.acknowledged}
    assert acknowledged <= stored(node)
    wait_until(lambda: not list(node.data_dir.spool_in.iterdir()), _SAID_S, "parts")
    wait_until(lambda: "node_associations_active 0.0" in asked(page, "/metrics"), _SAID_S, "slots")
    assert "1.2.3.1" not in node.log
    ended = doors(node)
    assert node.stop() == 0
    assert not any(is_running(pid) for pid in ended)


def test_doors_do_not_outlive_the_control_process(node: NodeProcess) -> None:
    machine = Machine(node.port, "1.2.9")
    machine.start()
    try:
        wait_until(lambda: len(machine.acknowledged) > 5, _SAID_S, "sending")
        left = doors(node)
        children = node.kill(with_children=False)
        assert set(left) <= set(children)
        wait_until(lambda: not any(map(is_running, left)), 10.0, "the end of the doors")
    finally:
        machine.end()
    assert set(machine.acknowledged) <= stored(node)
    node.start()
    assert send(("127.0.0.1", node.port), small_ds("1.2.9.9999")) == [0x0000]
    assert node.stop() == 0
