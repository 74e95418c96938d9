"""Reads and writes an association's connection, each packet within its time."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import dataclass

from node.arrival.connection import Connection
from node.arrival.pdu_reader import Pdu, PduReader
from node.arrival.violation import AbortReason, PduError

#: After our last word: how long, and how much, is read to let the peer hear it. Closing with bytes
#: unread would reset the connection, and the peer's system might throw our last word away.
_FAREWELL_S = 0.5
_FAREWELL_BYTES = 256 << 10


class LineEndedError(Exception):
    """The connection is over; there is nobody left to tell."""


class SilenceError(Exception):
    """The peer has said nothing for longer than it may."""


@dataclass(frozen=True, slots=True)
class LineLimits:
    """What a peer may do.

    Attributes
    ----------
    max_pdu_bytes
        As negotiated: PS3.8 Annex D.1, the variable field of a P-DATA-TF.
    pdu_deadline_s
        From the first byte of a packet to its last, and for each packet that is sent.
    idle_timeout_s
        From one packet to the next.
    """

    max_pdu_bytes: int
    pdu_deadline_s: float
    idle_timeout_s: float


class Line:
    """The connection of one association; used by its thread only, but for ``end`` and ``cut``."""

    def __init__(self, connection: Connection, limits: LineLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._reader = PduReader(limits.max_pdu_bytes)
        self._poll = select.poll()
        self._poll.register(connection.sock, select.POLLIN)
        sock = connection.sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def next(self) -> Pdu:
        """Wait for the next packet.

        Raises
        ------
        PduError
            It is wrong, or takes too long.
        SilenceError
            None began in time.
        LineEndedError
            None will come.
        """
        reader, limits = self._reader, self._limits
        pdu = reader.next()
        if pdu is not None:
            return pdu
        has_begun = reader.has_begun
        patience_s = limits.pdu_deadline_s if has_begun else limits.idle_timeout_s
        deadline = time.monotonic() + patience_s
        while pdu is None:
            if not self._read():
                if not self._wait(deadline):
                    raise _too_late() if has_begun else SilenceError
                continue
            if not has_begun:
                has_begun = True
                deadline = time.monotonic() + limits.pdu_deadline_s
            pdu = reader.next()
            if pdu is None and time.monotonic() > deadline:
                raise _too_late()
        return pdu

    def has_more(self) -> bool:
        """Whether the peer has sent more than was taken; never waits."""
        if self._reader.has_begun:
            return True
        try:
            return self._read()
        except LineEndedError:  # Who has closed may still read; `next` will find the end again.
            return False

    def send(self, data: bytes) -> None:
        """Send a packet, within its deadline.

        Raises
        ------
        LineEndedError
            It could not be sent.
        """
        deadline = time.monotonic() + self._limits.pdu_deadline_s
        rest = memoryview(data)
        while rest:
            try:
                count = self._connection.write(rest)
            except OSError as error:
                raise LineEndedError from error
            if count == 0 and not self._wait(deadline):
                raise LineEndedError
            rest = rest[count:]

    def say_last(self, data: bytes) -> None:
        """Send our last packet, and give the peer a moment to read it and to close."""
        with contextlib.suppress(LineEndedError):
            self.send(data)
            deadline = time.monotonic() + _FAREWELL_S
            left = _FAREWELL_BYTES
            scrap = memoryview(bytearray(16 << 10))
            while left > 0:
                count = self._receive(scrap)
                left -= count
                if not count and not self._wait(deadline):
                    break

    def end(self) -> None:
        """Let the thread find the end of what is received; from any other thread."""
        self._connection.hear_no_more()

    def cut(self) -> None:
        """End the connection at once; from any other thread."""
        self._connection.cut()

    def close(self) -> None:
        """Give the descriptor back."""
        self._connection.close()

    def _read(self) -> bool:
        """Receive what is there; False when that is nothing."""
        count = self._receive(self._reader.room())
        self._reader.add(count)
        return count > 0

    def _receive(self, room: memoryview) -> int:
        try:
            count = self._connection.read_into(room)
        except OSError as error:
            raise LineEndedError from error
        if count is None:
            return 0
        if count == 0:
            raise LineEndedError
        # Linux falls back to delayed acknowledgements by itself. Senders that leave Nagle's
        # algorithm on wait for each, which costs them 40 ms per object.
        with contextlib.suppress(OSError):
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return count

    def _wait(self, deadline: float) -> bool:
        """Wait until the connection can go on; False when the deadline passes."""
        is_full = self._connection.waits_for_room
        self._poll.modify(self._connection.sock, select.POLLOUT if is_full else select.POLLIN)
        while (left_s := deadline - time.monotonic()) > 0:
            if self._poll.poll(left_s * 1000.0):
                return True
        return False


def _too_late() -> PduError:
    return PduError("a packet takes too long", "deadline", AbortReason.NOT_SPECIFIED)
