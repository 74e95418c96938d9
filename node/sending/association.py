"""An association with a destination: opened, used for one exchange after the other, and closed."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_RELEASE
from pynetdicom.presentation import PresentationContext

from node.sending.outcome import SendOutcome, permanent, transient
from node.sending.peer_tls import PeerTls

Message = TypeVar("Message")
#: Takes a request of the peer, and the id of its presentation context.
Notified = Callable[[Any, int], None]

_REJECTED_PERMANENT = 0x01
_POLL_S = 0.2
_POLITE_S = 1.0
_SETTLE_S = 0.003


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a PACS listens.

    Attributes
    ----------
    timeout_s
        For the connection, for each answer, and for every pause while bytes flow.
    """

    host: str
    port: int
    ae_title: str
    timeout_s: float = 30.0


class Line:
    """At most one association with one peer; used by one thread.

    Parameters
    ----------
    ae_title
        Our own.
    notified
        Takes N-EVENT-REPORT requests that come meanwhile; without it they are left unanswered.
    tls
        What TLS is spoken with; None for plain TCP.
    """

    def __init__(
        self,
        peer: Peer,
        ae_title: str,
        notified: Notified | None = None,
        tls: PeerTls | None = None,
    ) -> None:
        self._peer = peer
        self._tls = tls
        self._notified = notified
        self._ae = AE(ae_title=ae_title)
        self._ae.connection_timeout = peer.timeout_s
        self._ae.acse_timeout = peer.timeout_s
        self._ae.dimse_timeout = peer.timeout_s
        self._ae.network_timeout = peer.timeout_s
        self._assoc: Association | None = None
        self._socket: socket.socket | None = None
        self._message_id = 0
        self._progress_at = 0.0

    @property
    def is_held(self) -> bool:
        """Whether an association was opened and not dropped; the peer may have closed it."""
        return self._assoc is not None

    def next_message_id(self) -> int:
        """A number for the next request."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def open(self, contexts: Sequence[PresentationContext]) -> Association | SendOutcome:
        """The association that is there, or a new one for these presentation contexts."""
        if self._assoc is not None and _is_open(self._assoc):
            return self._assoc
        self.drop()
        connected = False

        def on_open(event: evt.Event) -> None:
            nonlocal connected
            connected = True
            # pynetdicom has just set the socket to block for ever and leaves Nagle's wait on.
            transport = event.assoc.dul.socket
            if transport is not None and transport.socket is not None:
                self._socket = transport.socket
                transport.socket.settimeout(self._peer.timeout_s)
                transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        try:
            assoc = self._ae.associate(
                self._peer.host,
                self._peer.port,
                contexts=list(contexts),
                ae_title=self._peer.ae_title,
                evt_handlers=[(evt.EVT_CONN_OPEN, on_open), (evt.EVT_DATA_SENT, self._progress)],
                tls_args=self._tls.begin() if self._tls is not None else None,
            )
        except OSError:
            return transient("the host's name can't be resolved", reachable=False)
        if not assoc.is_established:
            if self._tls is not None and self._tls.failure:
                return transient(self._tls.failure, reachable=False)
            return _refusal(assoc, connected)
        if not _pause_reactor(assoc):
            return transient("the destination closed the association at once")
        _queue_notifications(assoc)
        self._assoc = assoc
        return assoc

    def exchange(
        self, assoc: Association, context_id: int, request: Any, kind: type[Message]
    ) -> Message | SendOutcome:
        """Send a request and wait for its response.

        ``Association.send_c_store`` and its like are not used: they wait for ever when the peer
        closes at the wrong moment, measure their timeout from before the data have left, and take
        any response for the right one.

        Returns
        -------
        The response, which has a status; or why there is none, and then the association is gone.
        """
        self._progress_at = time.monotonic()
        assoc.dimse.send_msg(request, context_id)
        response = self._await_response(assoc, kind)
        if not isinstance(response, kind):
            self.drop()
            return response
        message: Any = response
        answered = message.MessageIDBeingRespondedTo == request.MessageID
        if not (answered and message.is_valid_response and message.Status is not None):
            self.drop()
            return transient("the destination sent a response to another message")
        return response

    def listen(self, seconds: float, done: Callable[[], bool]) -> None:
        """Take the peer's notifications until `done`, or the peer leaves, or the time is over."""
        assoc, until = self._assoc, time.monotonic() + seconds
        while assoc is not None and not done() and _is_open(assoc):
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            try:
                context_id, message = assoc.dimse.msg_queue.get(timeout=min(_POLL_S, left_s))
            except queue.Empty:
                continue
            self._notify(message, context_id)

    def close(self) -> None:
        """Release the association, if there is one."""
        if self._assoc is not None and _is_open(self._assoc):
            self._assoc.release()
        self.drop()

    def drop(self) -> None:
        """End the association without ceremony, if there is one."""
        assoc, self._assoc = self._assoc, None
        if assoc is not None:
            _end(assoc)
        if self._socket is not None:
            self._socket.close()  # pynetdicom forgets to when the peer was faster
            self._socket = None

    def _progress(self, event: evt.Event) -> None:
        self._progress_at = time.monotonic()

    def _await_response(self, assoc: Association, kind: type[Message]) -> Message | SendOutcome:
        while time.monotonic() - self._progress_at < self._peer.timeout_s:
            try:
                context_id, message = assoc.dimse.msg_queue.get(timeout=_POLL_S)
            except queue.Empty:
                if not assoc.dul.is_alive():
                    return transient("the destination broke the association off")
                if _release_asked(assoc):
                    return transient("the destination released the association unanswered")
                continue
            if message is None:
                return transient("the destination broke the association off")
            if isinstance(message, kind) and _is_response(message):
                return message
            if not self._notify(message, context_id):
                return transient("the destination sent a response to another message")
        return transient(f"the destination did not answer within {self._peer.timeout_s:g} s")

    def _notify(self, message: Any, context_id: int | None) -> bool:
        asks = isinstance(message, N_EVENT_REPORT) and not _is_response(message)
        if not asks or self._notified is None or context_id is None:
            return False
        self._notified(message, context_id)
        return True


def _is_response(message: Any) -> bool:
    return message.MessageIDBeingRespondedTo is not None


def _queue_notifications(assoc: Association) -> None:
    # pynetdicom would serve each in a thread of its own, which lets the paused one run again.
    assoc._serve_request = (  # type: ignore[method-assign]
        lambda msg, context_id: assoc.dimse.msg_queue.put((context_id, msg))
    )


def _pause_reactor(assoc: Association) -> bool:
    """Stop the association's thread from taking our responses; False when it has ended."""
    assoc._reactor_checkpoint.clear()
    # It may have passed the checkpoint just before: it is at rest when it still is after a while.
    at_rest = False
    while not at_rest:
        if not assoc.is_alive():
            return False
        at_rest = assoc._is_paused
        time.sleep(_SETTLE_S)
        at_rest = at_rest and assoc._is_paused
    return True


def _is_open(assoc: Association) -> bool:
    """Whether the peer has neither released, aborted nor closed while the thread was at rest."""
    return (
        assoc.is_established
        and assoc.dul.is_alive()
        and not assoc.acse.is_aborted()
        and not _release_asked(assoc)
    )


def _end(assoc: Association) -> None:
    released = _release_asked(assoc)
    assoc._reactor_checkpoint.set()
    if released:
        assoc.join(_POLITE_S)  # its thread answers the peer's request
    if assoc.is_alive():
        assoc.abort()


def _release_asked(assoc: Association) -> bool:
    # acse.is_release_requested() would take the request away, and nobody would answer it.
    return isinstance(assoc.dul.peek_next_pdu(), A_RELEASE)


def _refusal(assoc: Association, connected: bool) -> SendOutcome:
    """Tell why there is no association (PS3.8 section 9.3.4)."""
    answer = assoc.acceptor.primitive
    if not connected:
        return transient("no connection to the destination", reachable=False)
    if isinstance(answer, A_ASSOCIATE) and answer.result == 0x00:
        return permanent("the destination accepts no presentation context of ours")
    if assoc.is_rejected and isinstance(answer, A_ASSOCIATE):
        note = f"association rejected: {answer.reason_str.lower()}"
        if answer.result == _REJECTED_PERMANENT:
            return permanent(note, reachable=False)
        return transient(note, reachable=False)
    return transient("the destination did not accept an association", reachable=False)
