"""The connection under an association: a cap on each packet, and a deadline for each."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from node.arrival.connection import Connection
from node.arrival.meter import Meter

_HEADER = struct.Struct(">BxI")
_P_DATA = 0x04
_KNOWN_PDUS = range(0x01, 0x08)
_MAX_OTHER_PDU_BYTES = 4096  # A release or an abort has 4; nothing longer is due any more.
_UNKNOWN_PDU = b"\xff\0\0\0\0\0"  # Makes the state machine send an A-ABORT.
_CLOSING = "Sta13"  # PS3.8 section 9.2: waiting for the peer to close.
#: How long a thread may miss what nobody announces: timers, and the other thread's end.
PATIENCE_S = 0.02
#: While an instance is being stored. On virtual machines a core that sleeps through a sync wakes
#: up late: short naps halved the time of an fsync there (3.9 to 1.1-3 ms).
_BUSY_PATIENCE_S = 0.001


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What a peer may do.

    Attributes
    ----------
    max_pdu_bytes
        As negotiated: PS3.8 Annex D.1, the variable field of a P-DATA-TF.
    pdu_deadline_s
        From the first byte of a PDU to its last, and for each PDU that is sent.
    """

    max_pdu_bytes: int
    pdu_deadline_s: float


class GuardedSocket(AssociationSocket):
    """The connection of an association whose request was read already.

    Parameters
    ----------
    request
        The whole A-ASSOCIATE-RQ PDU.
    """

    def __init__(
        self,
        assoc: Association,
        connection: Connection,
        request: bytes,
        limits: GuardLimits,
        meter: Meter,
    ) -> None:
        sock = connection.sock
        super().__init__(assoc, client_socket=sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._request = request
        self._limits = limits
        self._meter = meter
        self._sock = sock
        self._connection = connection
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._poll.register(self._wake_fd, select.POLLIN)
        self._deadline = 0.0
        self._body_is_due = False
        self._is_cut = False
        #: Whether nothing is being worked on; the association knows.
        self.is_quiet: Callable[[], bool] = lambda: True

    @property
    def ready(self) -> bool:
        """Whether there is something to read; waits a little for it when nothing else is due."""
        if self.socket is None or not self._is_connected:
            time.sleep(0.001)
            return False
        if self._request or self._connection.has_buffered():
            return True
        is_due = self.event_queue.qsize() or self.provider_queue.qsize()
        patience_s = PATIENCE_S if self.is_quiet() else _BUSY_PATIENCE_S
        found = dict(self._poll.poll(0 if is_due else patience_s * 1000.0))
        if self._wake_fd in found:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)
        return self._sock.fileno() in found and self._connection.has_data()

    def wake(self) -> None:
        """Let :attr:`ready` return; from any thread."""
        # The lock: a descriptor that was closed meanwhile may be another connection's by now.
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def close_for_good(self) -> None:
        """Close what the library leaves open; when no other thread uses it any more."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1
        self._connection.close()

    def _shutdown_socket(self) -> None:
        self._connection.close()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a PDU's header, then its body, as the caller asks for the one and the other.

        Returns
        -------
        bytearray
            Fewer bytes than were asked for when the connection is over, one way or another.
        """
        if self._is_cut or self.assoc.dul.state_machine.current_state == _CLOSING:
            return bytearray()  # Reads as the end: nothing that still comes is of use.
        if self._request:
            data, self._request = self._request[:nr_bytes], self._request[nr_bytes:]
            return bytearray(data)
        if self._body_is_due:
            self._body_is_due = False
            return self._read(nr_bytes)
        self._deadline = time.monotonic() + self._limits.pdu_deadline_s
        header = self._read(nr_bytes)
        if len(header) < _HEADER.size:
            return header
        kind, length = _HEADER.unpack(header)
        # The 6 bytes are for senders that count the header too.
        limit = self._limits.max_pdu_bytes + 6 if kind == _P_DATA else _MAX_OTHER_PDU_BYTES
        if kind not in _KNOWN_PDUS or length > limit:
            self._is_cut = True
            self._meter.count("pdu_rejected_total", reason="length" if length > limit else "type")
            return bytearray(_UNKNOWN_PDU)
        self._body_is_due = True
        return header

    def send(self, bytestream: bytes) -> None:
        """Send a PDU, within its deadline."""
        deadline = time.monotonic() + self._limits.pdu_deadline_s
        rest = memoryview(bytestream)
        while rest:
            try:
                count = self._connection.write(rest)
            except OSError:
                break
            if count == 0 and not self._wait(deadline):
                break
            rest = rest[count:]
        if rest:
            self._is_cut = True
            self.event_queue.put("Evt17")

    def _read(self, nr_bytes: int) -> bytearray:
        data = bytearray(nr_bytes)
        view = memoryview(data)
        at = 0
        while at < nr_bytes:
            try:
                count = self._connection.read_into(view[at:])
            except OSError:
                count = 0
            if count is None:
                if self._wait(self._deadline):
                    continue
                self._meter.count("pdu_rejected_total", reason="deadline")
                count = 0
            if count == 0:
                self._is_cut = True
                view.release()
                return data[:at]
            at += count
            if time.monotonic() > self._deadline and at < nr_bytes:
                self._meter.count("pdu_rejected_total", reason="deadline")
                self._is_cut = True
                view.release()
                return data[:at]
        # Linux falls back to delayed acknowledgements by itself. Senders that leave Nagle's
        # algorithm on wait for each, which costs them 40 ms per object.
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def _wait(self, deadline: float) -> bool:
        poll = select.poll()
        poll.register(
            self._sock, select.POLLOUT if self._connection.waits_for_room else select.POLLIN
        )
        return bool(poll.poll(max(0.0, (deadline - time.monotonic()) * 1000.0)))
