"""An association with a sender, from its request to its end: one thread, one connection.

Whatever the peer does, what it left half done is removed, and the connection is closed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from node.arrival.command import Command, CommandField, store_response
from node.arrival.commitment import CommitmentService
from node.arrival.connection import Connection
from node.arrival.incoming import Expected, IncomingDataset
from node.arrival.intake import Intake
from node.arrival.line import Line, LineEndedError, LineLimits, SilenceError
from node.arrival.message_reader import Message, MessageReader
from node.arrival.meter import Meter
from node.arrival.negotiation import AcceptedContext, Negotiated, Negotiator, RejectedError
from node.arrival.pdu_reader import ABORT, RELEASE_RQ, data_pdus, fragments
from node.arrival.responses import echo_response, encode_response
from node.arrival.store_service import StoreService
from node.arrival.violation import AbortReason, MessageError, PduError, ProtocolViolationError
from node.commitment import IMPLICIT_VR, MAX_ANSWER_BYTES, PUSH_MODEL

_RELEASE_RP = bytes.fromhex("06000000000400000000")  # PS3.8 section 9.3.7
#: Asynchronous operations are never negotiated, so that one request at a time is due. Whoever goes
#: on before the answer so many times in a row does not read answers.
_MAX_HASTE = 4


@dataclass(frozen=True, slots=True)
class Services:
    """What the associations of a listener share."""

    intake: Intake
    store: StoreService
    commitment: CommitmentService
    negotiator: Negotiator
    meter: Meter


class Association:
    """Serves one sender in a thread of its own.

    Parameters
    ----------
    connection
        Belongs to this object from now on.
    request
        The whole A-ASSOCIATE-RQ that was read from it.
    on_end
        Called once, when the thread ends.
    """

    def __init__(
        self,
        connection: Connection,
        request: bytes,
        limits: LineLimits,
        services: Services,
        on_end: Callable[[Association], None],
    ) -> None:
        self._request = request
        self._limits = limits
        self._services = services
        self._on_end = on_end
        self._line = Line(connection, limits)
        self._messages: MessageReader | None = None
        self._is_serving = False
        self._is_ending = False
        self._haste = 0
        self._thread = threading.Thread(target=self._run, name="dicom-association", daemon=True)

    @property
    def is_busy(self) -> bool:
        """Whether a message is being received, worked on or answered."""
        # Read from outside without a lock: a wrong answer aborts a sender that then sends again.
        messages = self._messages
        return self._is_serving or (messages is not None and messages.is_amid)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        RuntimeError
            No thread can be had.
        """
        self._thread.start()

    def end(self) -> None:
        """Abort it as soon as it waits for the peer; from any other thread."""
        self._is_ending = True
        self._line.end()

    def cut(self) -> None:
        """End the connection at once; from any other thread."""
        self._line.cut()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._converse()
        except RejectedError as rejection:
            self._services.meter.count("associations_total", result="rejected")
            self._line.say_last(rejection.answer)
        except ProtocolViolationError as error:
            layer = "pdu" if isinstance(error, PduError) else "dimse"
            self._services.meter.count(f"{layer}_rejected_total", reason=error.word)
            self._line.say_last(error.abort.pdu)
        except SilenceError:
            self._line.say_last(AbortReason.USER.pdu)
        except LineEndedError:
            if self._is_ending:
                self._line.say_last(AbortReason.USER.pdu)
        finally:
            if self._messages is not None:
                self._messages.discard()
            self._line.close()
            self._on_end(self)

    def _converse(self) -> None:
        negotiated = self._services.negotiator.answer(self._request)
        self._request = b""
        serving = _Serving(negotiated, self._services)
        self._messages = messages = MessageReader(negotiated.contexts, serving.expect)
        self._line.send(negotiated.answer)
        self._services.meter.count("associations_total", result="accepted")
        while True:
            pdu = self._line.next()
            if pdu.kind == ABORT:
                return
            if pdu.kind == RELEASE_RQ:
                self._line.say_last(_RELEASE_RP)
                return
            due = fragments(pdu.body)
            for at, fragment in enumerate(due, 1):
                message = messages.take(fragment)
                if message is not None:
                    self._answer(serving, message, has_more=at < len(due))

    def _answer(self, serving: _Serving, message: Message, *, has_more: bool) -> None:
        self._is_serving = True
        try:
            answer = serving.answer(message)
            if answer:
                self._check_haste(has_more=has_more)
                self._line.send(answer)
        finally:
            self._is_serving = False
            if message.dataset is not None:
                message.dataset.discard()

    def _check_haste(self, *, has_more: bool) -> None:
        self._haste = self._haste + 1 if has_more or self._line.has_more() else 0
        if self._haste > _MAX_HASTE:
            raise MessageError("requests come without waiting for answers", "haste")


class _Serving:
    """Answers the messages of one association."""

    def __init__(self, negotiated: Negotiated, services: Services) -> None:
        self._contexts = negotiated.contexts
        self._ae_title = negotiated.calling_ae_title
        self._most_bytes = negotiated.max_pdu_bytes
        self._services = services

    def expect(self, command: Command) -> IncomingDataset:
        """Say what becomes of the dataset that follows a command."""
        context = self._context_of(command)
        if command.field == CommandField.C_STORE:
            expected = self._services.store.expect(command, context, self._ae_title)
        elif command.field == CommandField.N_EVENT_REPORT:
            expected = Expected(kept_bytes=MAX_ANSWER_BYTES)
        elif command.field == CommandField.N_ACTION:
            expected = Expected()  # It is refused, whatever it names.
        else:
            raise MessageError("a dataset comes with a request that has none", "order")
        return IncomingDataset(expected, self._services.intake)

    def answer(self, message: Message) -> bytes:
        """Do what a message asks for; the packets of the answer, if there is one."""
        command = message.command
        context = self._context_of(command)
        if command.field == CommandField.C_CANCEL:
            return b""  # What it would cancel is done already (PS3.7 section 9.3.2.3).
        if command.field == CommandField.C_STORE:
            status = self._services.store.answer(message, self._ae_title)
            response = store_response(command, context.abstract_syntax, status)
            return data_pdus(command.context_id, response, self._most_bytes)
        if command.field == CommandField.C_ECHO:
            small = encode_response(echo_response(command), command.context_id, self._most_bytes)
        elif command.field == CommandField.N_ACTION:
            refusal = self._services.commitment.on_action(command, self._ae_title)
            small = encode_response(refusal, command.context_id, self._most_bytes)
        else:
            information = b"" if message.dataset is None else message.dataset.kept
            taken = self._services.commitment.on_event_report(
                command, information, implicit=context.transfer_syntax == IMPLICIT_VR
            )
            small = encode_response(taken, command.context_id, self._most_bytes)
        return small

    def _context_of(self, command: Command) -> AcceptedContext:
        """The context of a request that it may be made in (PS3.4 table J.2-1)."""
        context = self._contexts[command.context_id]
        if command.field == CommandField.C_CANCEL:
            return context
        if context.abstract_syntax == PUSH_MODEL:
            is_due = command.field in (CommandField.N_ACTION, CommandField.N_EVENT_REPORT)
        else:
            is_due = command.field in (CommandField.C_STORE, CommandField.C_ECHO)
            is_due = is_due and command.sop_class_uid != PUSH_MODEL
        if not is_due:
            raise MessageError("a request is not one of its service", "service")
        return context
