"""Wraps pynetdicom's association so that no peer can make it wait, grow or fail beyond bounds.

Stock pynetdicom 3.0.4 buffers a PDU of any length, waits for one byte for ever, keeps datasets in
memory and loses its thread on garbage. The parts that are replaced here:

- :class:`GuardedSocket`: a cap on each PDU's length, a wall-clock deadline for each PDU.
- :class:`StoreProvider`: datasets go to the spool while they arrive; garbage ends the association.
- :class:`StoreAssociation`: whatever happens, parts are removed and the connection is closed.

Its two threads per association poll a thousand times a second; here they wait for news instead.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

from node.arrival.connection import Connection
from node.arrival.incoming import IncomingDataset, ProtocolViolationError
from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.meter import Meter
from node.arrival.uid import is_uid

_HEADER = struct.Struct(">BxI")
_P_DATA = 0x04
_KNOWN_PDUS = range(0x01, 0x08)
_MAX_OTHER_PDU_BYTES = 4096  # A release or an abort has 4; nothing longer is due any more.
_UNKNOWN_PDU = b"\xff\0\0\0\0\0"  # Makes the state machine send an A-ABORT.
_CLOSING = "Sta13"  # PS3.8 section 9.2: waiting for the peer to close.
#: How long a thread may miss what nobody announces: timers, and the other thread's end.
_PATIENCE_S = 0.02
#: While an instance is being stored. On virtual machines a core that sleeps through a sync wakes
#: up late: short naps halved the time of an fsync there (3.9 to 1.1-3 ms).
_BUSY_PATIENCE_S = 0.001
_MAX_COMMAND_BYTES = 64 << 10
#: Asynchronous operations are never negotiated, so one request at a time is due.
_MAX_QUEUED_REQUESTS = 4
#: Stands for a UID that can't be repeated in the answer.
_NO_UID = "2.25.0"


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What a peer may do."""

    #: As negotiated: PS3.8 Annex D.1, the variable field of a P-DATA-TF.
    max_pdu_bytes: int
    #: From the first byte of a PDU to its last, and for each PDU that is sent.
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
        patience_s = _PATIENCE_S if self.is_quiet() else _BUSY_PATIENCE_S
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


class StoreProvider(DIMSEServiceProvider):
    """Takes messages apart, fragment by fragment, in the thread that reads the connection."""

    def __init__(self, assoc: Association, intake: Intake, meter: Meter) -> None:
        super().__init__(assoc)
        self._intake = intake
        self._meter = meter
        self._undone: list[IncomingDataset] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one PDU; anything that breaks the protocol aborts."""
        try:
            self._check(primitive)
            if self.message is None:
                self.message = message = DIMSEMessage()
                dataset = IncomingDataset(lambda: self._store_request(message), self._intake)
                message.data_set = dataset
                self._undone = [each for each in self._undone if each.part is not None]
                self._undone.append(dataset)
            super().receive_primitive(primitive)
        except Exception as error:  # noqa: BLE001
            # The boundary to a peer's bytes: pynetdicom fails on garbage in ways that no list
            # holds, and an error that escapes would kill this thread with the connection open.
            self._meter.count("dimse_rejected_total", reason=type(error).__name__)
            self.dul.event_queue.put("Evt19")

    def discard(self) -> None:
        """Remove the parts that nobody took."""
        for dataset in self._undone:
            dataset.discard()
        self._undone.clear()

    def _check(self, primitive: P_DATA) -> None:
        if self.msg_queue.qsize() > _MAX_QUEUED_REQUESTS:
            raise ProtocolViolationError("requests come without waiting for answers")
        for context_id, fragment in primitive.presentation_data_value_list:
            if context_id not in self.assoc._accepted_cx:
                raise ProtocolViolationError("a presentation context was not accepted")
            if not fragment:
                raise ProtocolViolationError("a fragment has no header")
            message = self.message
            if message is None:
                continue
            if message.context_id not in (None, context_id):
                raise ProtocolViolationError("a message changes its presentation context")
            if message.encoded_command_set.tell() > _MAX_COMMAND_BYTES:
                raise ProtocolViolationError("a command is too long")

    def _store_request(self, message: DIMSEMessage) -> tuple[StoreRequest, StoreStatus | None]:
        if not isinstance(message, C_STORE_RQ) or message.context_id is None:
            raise ProtocolViolationError("a dataset comes without a C-STORE request")
        command = message.command_set
        context = self.assoc._accepted_cx[message.context_id]
        request = StoreRequest(
            sop_class_uid=str(command.get("AffectedSOPClassUID") or ""),
            sop_instance_uid=str(command.get("AffectedSOPInstanceUID") or ""),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae_title=self.assoc.requestor.ae_title.strip(),
        )
        refusal: StoreStatus | None = None
        if not is_uid(request.sop_instance_uid):
            # The library could not even answer with it.
            command.AffectedSOPInstanceUID = _NO_UID
            refusal = StoreStatus.CANNOT_UNDERSTAND
        if request.sop_class_uid != context.abstract_syntax:
            command.AffectedSOPClassUID = context.abstract_syntax
            refusal = StoreStatus.SOP_CLASS_NOT_SUPPORTED
        return request, refusal


class _AnnouncingQueue(queue.Queue[Any]):
    """A queue that tells when something was put into it."""

    def __init__(self, announce: Callable[[], None]) -> None:
        super().__init__()
        self._announce = announce

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._announce()


class _Checkpoint(threading.Event):
    """Where the association's thread passes in every round: here it waits for news."""

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Event()

    def announce(self) -> None:
        self._news.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._news.wait(_PATIENCE_S)
        self._news.clear()
        return super().wait(timeout)


class StoreAssociation(Association):
    """An association with a sender, from its request to its end.

    Parameters
    ----------
    request
        The whole A-ASSOCIATE-RQ PDU that was read from ``connection``.
    on_end
        Called once, when the association's thread ends.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        connection: Connection,
        request: bytes,
        limits: GuardLimits,
        intake: Intake,
        meter: Meter,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.name = "dicom-association"
        self._is_serving = False
        self.dimse: StoreProvider = StoreProvider(self, intake, meter)
        self._guarded = GuardedSocket(self, connection, request, limits, meter)
        self._guarded.is_quiet = lambda: not self._is_serving
        self.set_socket(self._guarded)
        checkpoint = _Checkpoint()
        checkpoint.set()
        self._reactor_checkpoint = checkpoint
        self.dimse.msg_queue = _AnnouncingQueue(checkpoint.announce)
        self.dul.to_user_queue = _AnnouncingQueue(checkpoint.announce)
        self.dul.to_provider_queue = _AnnouncingQueue(self._guarded.wake)
        self.dul._run_loop_delay = 0.0  # It waits in the socket's ``ready``.
        self.dul.daemon = True
        self.network_timeout_response = "A-ABORT"
        self._connection = connection
        self._on_end = on_end

    @property
    def is_busy(self) -> bool:
        """Whether a message is being received, worked on or answered."""
        # Read from outside without a lock: a wrong answer aborts a sender that then sends again.
        return bool(
            self.dimse.message is not None
            or self.dimse.msg_queue.qsize()
            or self._is_serving
            or self.dul.to_provider_queue.qsize()
        )

    def run_reactor(self) -> None:
        """Serve the association in its own thread; always ends with everything closed."""
        try:
            super().run_reactor()
        finally:
            self.dul.kill_dul()
            self._connection.cut()
            if self.dul.is_alive():
                self.dul.join(timeout=5.0)
            self._guarded.close_for_good()
            self.dimse.discard()
            self._on_end()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self._is_serving = True
        try:
            super()._serve_request(msg, context_id)
        finally:
            self._is_serving = False

    def cut(self) -> None:
        """End the connection at once, from another thread."""
        self._connection.cut()

    def dismiss(self) -> None:
        """Close an association that never started."""
        self._guarded.close_for_good()
