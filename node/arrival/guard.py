"""Wraps pynetdicom's association so that no peer can make it wait, grow or fail beyond bounds.

Stock pynetdicom 3.0.4 buffers a PDU of any length, waits for one byte for ever, keeps datasets in
memory and loses its thread on garbage. The parts that are replaced here:

- :class:`~node.arrival.guarded_socket.GuardedSocket`: a cap on each PDU's length, a wall-clock
  deadline for each PDU.
- :class:`StoreProvider`: datasets go to the spool while they arrive; garbage ends the association.
- :class:`StoreAssociation`: whatever happens, parts are removed and the connection is closed.

Its two threads per association poll a thousand times a second; here they wait for news instead.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class_n import StorageCommitmentServiceClass

from node.arrival.connection import Connection
from node.arrival.guarded_socket import PATIENCE_S, GuardedSocket, GuardLimits
from node.arrival.incoming import Expected, IncomingDataset, ProtocolViolationError
from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.meter import Meter
from node.arrival.uid import is_uid
from node.commitment import MAX_ANSWER_BYTES, PUSH_MODEL

_MAX_COMMAND_BYTES = 64 << 10
#: Asynchronous operations are never negotiated, so one request at a time is due.
_MAX_QUEUED_REQUESTS = 4
#: Stands for a UID that can't be repeated in the answer.
_NO_UID = "2.25.0"


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
                dataset = IncomingDataset(lambda: self._expected(message), self._intake)
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

    def _expected(self, message: DIMSEMessage) -> Expected:
        if message.context_id is None:
            raise ProtocolViolationError("a dataset comes without a command")
        context = self.assoc._accepted_cx[message.context_id]
        if context.abstract_syntax == PUSH_MODEL:
            if isinstance(message, N_EVENT_REPORT_RQ):
                return Expected(kept_bytes=MAX_ANSWER_BYTES)
            if isinstance(message, N_ACTION_RQ):
                return Expected()  # It is refused, whatever it names.
        elif isinstance(message, C_STORE_RQ):
            return self._store_request(message, context)
        raise ProtocolViolationError("a dataset comes with a request that has none")

    def _store_request(self, message: DIMSEMessage, context: PresentationContext) -> Expected:
        command = message.command_set
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
        return Expected(request, refusal)


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
        self._news.wait(PATIENCE_S)
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
        self._meter = meter
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
        if threading.current_thread() is not self:
            # The library serves an N-EVENT-REPORT in a thread of its own. Here it waits its turn:
            # two threads would answer at once, and a flood of them would have no limit.
            self.dimse.msg_queue.put((context_id, msg))
            return
        self._is_serving = True
        try:
            if self._accepted_cx[context_id].abstract_syntax == PUSH_MODEL:
                self._serve_commitment(msg, context_id)
            elif isinstance(msg, N_ACTION | N_EVENT_REPORT) or _names_commitment(msg):
                self._refuse_service()
            else:
                super()._serve_request(msg, context_id)
        finally:
            self._is_serving = False

    def _serve_commitment(self, msg: Any, context_id: int) -> None:
        """Serve a request of the context for storage commitment (PS3.4 table J.2-1)."""
        if not isinstance(msg, N_ACTION | N_EVENT_REPORT):
            self._refuse_service()
        elif msg.is_valid_request:
            # The library would choose the service by the class that the peer claims.
            service = StorageCommitmentServiceClass(self)
            service.SCP(msg, self._accepted_cx[context_id])

    def _refuse_service(self) -> None:
        self._meter.count("dimse_rejected_total", reason="Service")
        self.abort()

    def cut(self) -> None:
        """End the connection at once, from another thread."""
        self._connection.cut()

    def dismiss(self) -> None:
        """Close an association that never started."""
        self._guarded.close_for_good()


def _names_commitment(msg: Any) -> bool:
    return PUSH_MODEL in (
        getattr(msg, "AffectedSOPClassUID", None),
        getattr(msg, "RequestedSOPClassUID", None),
    )
