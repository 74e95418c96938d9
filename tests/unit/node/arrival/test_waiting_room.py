"""The waiting room: only a whole request gets in, and nobody can fill it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from node.arrival.admission import Admission
from node.arrival.doorkeeper import Doorkeeper
from node.arrival.meter import NoMeter
from node.arrival.slots import Slots
from node.arrival.waiting_room import MAX_REQUEST_BYTES, WaitingRoom
from node.audit import AuditTrail
from node.config_listen import ListenSettings
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_RJ,
    IMPLICIT_LE,
    VERIFICATION,
    associate_rq,
    pdu,
    read_pdu,
)

REQUEST = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])])


@dataclass
class Door:
    """A waiting room that keeps whom it lets in."""

    room: WaitingRoom
    address: tuple[str, int]
    entered: list[tuple[socket.socket, bytes]] = field(default_factory=list)

    def knock(self, data: bytes = b"") -> socket.socket:
        sock = socket.create_connection(self.address, timeout=5.0)
        if data:
            sock.sendall(data)
        return sock

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 5.0
        while len(self.entered) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.entered) == count


@pytest.fixture
def door() -> Iterator[Door]:
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    entered: list[tuple[socket.socket, bytes]] = []
    room = WaitingRoom(
        listening,
        Doorkeeper(Admission(ListenSettings(), "NODE"), AuditTrail(NoMeter()), address[1]),
        Slots(2),
        lambda connection, _, data: entered.append((connection.sock, data)),
        NoMeter(),
        association_deadline_s=0.6,
        max_pending_per_address=4,
    )
    room.start()
    yield Door(room, address, entered)
    room.close()
    for sock, _ in entered:
        sock.close()


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def test_a_request_gets_in_however_it_is_cut(door: Door) -> None:
    with door.knock() as sock:
        for at in range(0, len(REQUEST), 7):
            sock.sendall(REQUEST[at : at + 7])
            time.sleep(0.001)
        door.wait_for(1)
        assert door.entered[0][1] == REQUEST


def test_what_follows_the_request_is_left_for_the_association(door: Door) -> None:
    with door.knock(REQUEST + b"more"):
        door.wait_for(1)
        sock, data = door.entered[0]
        assert data == REQUEST
        sock.settimeout(1.0)
        assert sock.recv(10) == b"more"


@pytest.mark.parametrize(
    "data",
    [
        pdu(0x01, b"", length=1 << 31),
        pdu(0x01, b"", length=MAX_REQUEST_BYTES + 1),
        pdu(0x01, b"", length=0),
        pdu(0x04, b"\0" * 10),
        pdu(0x0C, b""),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_anything_else_is_aborted_at_once(door: Door, data: bytes) -> None:
    began = time.monotonic()
    with door.knock(data) as sock:
        assert read_pdu(sock)[0] in (ABORT, 0)  # A reset may overtake the abort.
    assert time.monotonic() - began < 0.5
    assert door.entered == []


def test_dribble_is_cut_by_the_deadline(door: Door) -> None:
    began = time.monotonic()
    with door.knock() as sock:
        sock.settimeout(0.05)
        for byte in REQUEST:
            try:
                sock.sendall(bytes([byte]))
                if sock.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert 0.4 < time.monotonic() - began < 2.0


def test_silence_is_cut_by_the_deadline(door: Door) -> None:
    began = time.monotonic()
    with door.knock() as sock:
        assert is_closed(sock)
    assert 0.4 < time.monotonic() - began < 2.0


def test_silent_neighbours_make_room_for_a_sender(door: Door) -> None:
    threads = threading.active_count()
    idle = [door.knock() for _ in range(200)]
    with door.knock(REQUEST):
        door.wait_for(1)
    assert threading.active_count() == threads
    still_open = 0
    for sock in idle:
        sock.setblocking(False)
        try:
            still_open += sock.recv(1) != b""
        except BlockingIOError:
            still_open += 1
        except ConnectionError:
            pass
        sock.close()
    assert still_open <= 4


def test_no_slot_means_rejected_for_now(door: Door) -> None:
    with door.knock(REQUEST), door.knock(REQUEST):
        door.wait_for(2)
        with door.knock(REQUEST) as third:
            kind, body = read_pdu(third)
        assert (kind, body) == (ASSOCIATE_RJ, b"\0\2\3\2")


def test_close_sends_everybody_away(door: Door) -> None:
    with door.knock() as sock:
        time.sleep(0.1)
        listening = door.address
        door.room.close()
        assert is_closed(sock)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(listening, timeout=1.0)
    # The fixture closes it again, which must be harmless.
