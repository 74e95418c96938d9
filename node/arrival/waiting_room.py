"""Holds connections back until each has sent a whole A-ASSOCIATE-RQ and may send.

One thread for a port and a few bytes per visitor: silence, dribble, absurd lengths, other protocols
and endless TLS handshakes cost no thread, and can't keep real senders out. Only who has asked for
an association, and may have one, gets a slot.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Thread

from node.arrival.admission import SHORTEST_REQUEST_BYTES
from node.arrival.connection import Connection
from node.arrival.doorkeeper import Doorkeeper
from node.arrival.meter import Meter
from node.arrival.slots import Slots

_HEADER = struct.Struct(">BxI")  # PS3.8 section 9.3.1: type, reserved, length
_ASSOCIATE_RQ = 0x01
#: 128 presentation contexts with 40 transfer syntaxes each need 180 kB.
MAX_REQUEST_BYTES = 256 << 10
#: Whatever the number of addresses, no more than this many visitors at a time.
_MAX_VISITORS = 128
_ACCEPTS_PER_ROUND = 32

# PS3.8 section 9.3.8: provider-initiated abort, reason "unexpected PDU".
_ABORT = bytes.fromhex("07000000000400000202")
_READ_BYTES = 1 << 16

Enter = Callable[[Connection, tuple[str, int], bytes], None]


@dataclass(eq=False, slots=True)
class _Visitor:
    connection: Connection
    address: tuple[str, int]
    deadline: float
    is_greeted: bool = False
    wanted_bytes: int = _HEADER.size
    received: bytearray = field(default_factory=bytearray)

    @property
    def progress(self) -> int:
        """How far it has come; who has not come far makes room first."""
        return self.is_greeted + bool(self.received)


class WaitingRoom:
    """Accepts connections on a listening socket.

    Parameters
    ----------
    listening
        Bound and listening, perhaps by several processes; closed at :meth:`close`.
    doorkeeper
        Says what a connection speaks, and who may enter.
    slots
        A visitor enters only with a slot, which whoever lets it in must give back; without one it
        is rejected for now.
    enter
        Called with the connection, its address and the whole first PDU. It must return at once
        and owns the connection.
    association_deadline_s
        Time from connecting to the request's last byte.
    max_pending_per_address
        With more visitors from one address the most silent and oldest of them is closed.
    """

    def __init__(
        self,
        listening: socket.socket,
        doorkeeper: Doorkeeper,
        slots: Slots,
        enter: Enter,
        meter: Meter,
        *,
        association_deadline_s: float,
        max_pending_per_address: int,
    ) -> None:
        self._listening = listening
        self._doorkeeper = doorkeeper
        self._slots = slots
        self._enter = enter
        self._meter = meter
        self._deadline_s = association_deadline_s
        self._max_per_address = max_pending_per_address
        self._visitors: dict[_Visitor, None] = {}  # A dict for its order: oldest first.
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._thread = Thread(target=self._run, name="dicom-waiting-room", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._listening.setblocking(False)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Accept nobody any more, and send away who waits; closing twice is harmless."""
        if self._wake_write.fileno() < 0:
            return
        self._wake_write.send(b"\0")
        self._thread.join()
        for visitor in list(self._visitors):
            self._leave(visitor)
            visitor.connection.close()
        for each in (self._listening, self._wake_read, self._wake_write):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj is self._wake_read:
                    return
                if key.fileobj is self._listening:
                    self._accept()
                elif key.data in self._visitors:  # It may have been closed in this round.
                    self._read(key.data)
            self._close_late()

    def _patience_s(self) -> float | None:
        for visitor in self._visitors:
            return max(0.0, visitor.deadline - time.monotonic())
        return None

    def _accept(self) -> None:
        for at in range(_ACCEPTS_PER_ROUND):
            if deference_s := self._slots.deference_s():
                if at:
                    return
                # Another process has less to do, and hears of this caller in the same moment.
                time.sleep(deference_s)
            try:
                sock, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError:
                # Out of descriptors, or the peer has gone already. The pause keeps the first from
                # becoming a busy loop, as the waiting connection stays readable.
                self._meter.count("accept_failures_total")
                time.sleep(0.01)
                return
            try:
                connection = self._doorkeeper.receive(sock)
            except OSError:  # It has gone already.
                self._meter.count("accept_failures_total")
                sock.close()
                continue
            self._make_room(address[0])
            visitor = _Visitor(connection, address[:2], time.monotonic() + self._deadline_s)
            self._visitors[visitor] = None
            self._slots.came()
            self._selector.register(connection.sock, selectors.EVENT_READ, visitor)

    def _make_room(self, host: str) -> None:
        neighbours = [each for each in self._visitors if each.address[0] == host]
        if len(neighbours) < self._max_per_address:
            if len(self._visitors) < _MAX_VISITORS:
                return
            neighbours = list(self._visitors)
        # The oldest silent one; min() takes the first of equals.
        self._send_away(min(neighbours, key=lambda each: each.progress), "crowded")

    def _read(self, visitor: _Visitor) -> None:
        if not visitor.is_greeted and not self._shake_hands(visitor):
            return
        # To the end of what is there: of bytes that TLS holds already the selector knows nothing.
        while visitor in self._visitors:
            missing = visitor.wanted_bytes - len(visitor.received)
            part = bytearray(min(missing, _READ_BYTES))
            try:
                count = visitor.connection.read_into(memoryview(part))
            except OSError:
                count = 0
            if count is None:
                self._watch(visitor)
                return
            if count == 0:
                self._send_away(visitor, "closed")
                return
            visitor.received += part[:count]
            self._look_at(visitor)

    def _shake_hands(self, visitor: _Visitor) -> bool:
        try:
            visitor.is_greeted = visitor.connection.shake_hands()
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError):
            self._send_away(visitor, "closed")
        except ssl.SSLError as error:
            self._doorkeeper.tls_failed(error, visitor.address[0])
            self._send_away(visitor, "tls")
        except (OSError, ValueError):
            self._send_away(visitor, "closed")
        else:
            self._watch(visitor)
        return visitor.is_greeted

    def _watch(self, visitor: _Visitor) -> None:
        is_full = visitor.connection.waits_for_room
        events = selectors.EVENT_WRITE if is_full else selectors.EVENT_READ
        sock = visitor.connection.sock
        if self._selector.get_key(sock).events != events:
            self._selector.modify(sock, events, visitor)

    def _look_at(self, visitor: _Visitor) -> None:
        if len(visitor.received) < visitor.wanted_bytes:
            return
        if visitor.wanted_bytes > _HEADER.size:
            self._let_in(visitor)
            return
        kind, length = _HEADER.unpack(visitor.received)
        visitor.wanted_bytes += length
        if kind != _ASSOCIATE_RQ or visitor.wanted_bytes < SHORTEST_REQUEST_BYTES:
            self._send_away(visitor, "not_an_association", _ABORT)
        elif length > MAX_REQUEST_BYTES:
            self._send_away(visitor, "request_too_long", _ABORT)

    def _let_in(self, visitor: _Visitor) -> None:
        connection, host, request = visitor.connection, visitor.address[0], bytes(visitor.received)
        refusal = self._doorkeeper.refusal(request, host, connection)
        if refusal is not None:
            self._send_away(visitor, "rejected", refusal.pdu)
        elif not self._slots.take():
            refusal = self._doorkeeper.no_slot(request, host, connection)
            self._send_away(visitor, refusal.reason, refusal.pdu)
        else:
            self._leave(visitor)
            self._enter(connection, visitor.address, request)

    def _close_late(self) -> None:
        now = time.monotonic()
        for visitor in list(self._visitors):
            if visitor.deadline > now:
                return
            self._send_away(visitor, "too_late")

    def _leave(self, visitor: _Visitor) -> None:
        del self._visitors[visitor]
        self._slots.went()
        self._selector.unregister(visitor.connection.sock)

    def _send_away(self, visitor: _Visitor, reason: str, farewell: bytes = b"") -> None:
        self._leave(visitor)
        self._meter.count("associations_total", result=reason)
        with contextlib.suppress(OSError):  # It may have gone; then nothing need be said.
            if farewell:
                visitor.connection.write(farewell)
        visitor.connection.close()
