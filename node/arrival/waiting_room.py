"""Holds connections back until each has sent a whole A-ASSOCIATE-RQ.

One thread and a few bytes per visitor: silence, dribble, absurd lengths and other protocols cost no
thread, and can't keep real senders out. Only who has asked for an association gets one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock, Thread

from node.arrival.meter import Meter

_HEADER = struct.Struct(">BxI")  # PS3.8 section 9.3.1: type, reserved, length
_ASSOCIATE_RQ = 0x01
#: 128 presentation contexts with 40 transfer syntaxes each need 180 kB.
MAX_REQUEST_BYTES = 256 << 10
#: Whatever the number of addresses, no more than this many visitors at a time.
_MAX_VISITORS = 128
_ACCEPTS_PER_ROUND = 32

# PS3.8 section 9.3.8: provider-initiated abort, reason "unexpected PDU".
_ABORT = bytes.fromhex("07000000000400000202")
# PS3.8 section 9.3.4: rejected-transient, by the provider (presentation), local limit exceeded.
_REJECT_BUSY = bytes.fromhex("03000000000400020302")

Enter = Callable[[socket.socket, tuple[str, int], bytes], None]


class Slots:
    """Counts associations; thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = Lock()

    def take(self) -> bool:
        """Take a slot; False when none is free."""
        with self._lock:
            if self._taken >= self._limit:
                return False
            self._taken += 1
            return True

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            self._taken -= 1


@dataclass(eq=False, slots=True)
class _Visitor:
    sock: socket.socket
    address: tuple[str, int]
    deadline: float
    wanted_bytes: int = _HEADER.size
    received: bytearray = field(default_factory=bytearray)


class WaitingRoom:
    """Accepts connections on a listening socket.

    Parameters
    ----------
    listening
        Bound and listening; closed at :meth:`close`.
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
        slots: Slots,
        enter: Enter,
        meter: Meter,
        *,
        association_deadline_s: float,
        max_pending_per_address: int,
    ) -> None:
        self._listening = listening
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
            visitor.sock.close()
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
        for _ in range(_ACCEPTS_PER_ROUND):
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
            sock.setblocking(False)
            self._make_room(address[0])
            visitor = _Visitor(sock, address[:2], time.monotonic() + self._deadline_s)
            self._visitors[visitor] = None
            self._selector.register(sock, selectors.EVENT_READ, visitor)

    def _make_room(self, host: str) -> None:
        neighbours = [each for each in self._visitors if each.address[0] == host]
        if len(neighbours) < self._max_per_address:
            if len(self._visitors) < _MAX_VISITORS:
                return
            neighbours = list(self._visitors)
        # The oldest silent one; min() takes the first of equals.
        self._send_away(min(neighbours, key=lambda each: bool(each.received)), "crowded")

    def _read(self, visitor: _Visitor) -> None:
        missing = visitor.wanted_bytes - len(visitor.received)
        try:
            data = visitor.sock.recv(min(missing, 1 << 16))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._send_away(visitor, "closed")
            return
        visitor.received += data
        if len(visitor.received) == _HEADER.size == visitor.wanted_bytes:
            kind, length = _HEADER.unpack(visitor.received)
            if kind != _ASSOCIATE_RQ:
                self._send_away(visitor, "not_an_association", _ABORT)
                return
            if not 0 < length <= MAX_REQUEST_BYTES:
                self._send_away(visitor, "request_too_long", _ABORT)
                return
            visitor.wanted_bytes += length
        elif len(visitor.received) == visitor.wanted_bytes:
            self._let_in(visitor)

    def _let_in(self, visitor: _Visitor) -> None:
        if not self._slots.take():
            self._send_away(visitor, "local_limit", _REJECT_BUSY)
            return
        self._leave(visitor)
        self._enter(visitor.sock, visitor.address, bytes(visitor.received))

    def _close_late(self) -> None:
        now = time.monotonic()
        for visitor in list(self._visitors):
            if visitor.deadline > now:
                return
            self._send_away(visitor, "too_late")

    def _leave(self, visitor: _Visitor) -> None:
        del self._visitors[visitor]
        self._selector.unregister(visitor.sock)

    def _send_away(self, visitor: _Visitor, reason: str, farewell: bytes = b"") -> None:
        self._leave(visitor)
        self._meter.count("associations_total", result=reason)
        with contextlib.suppress(OSError):  # It may have gone; then nothing need be said.
            if farewell:
                visitor.sock.send(farewell)
            visitor.sock.shutdown(socket.SHUT_RDWR)
        visitor.sock.close()
