"""Sends objects to a PACS by C-STORE and tells what came of each."""

from __future__ import annotations

import queue
import socket
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode, split_dataset
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_RELEASE
from pynetdicom.presentation import PresentationContext, build_context

from node.ledger_records import StoredObject
from node.sending.outcome import (
    SendOutcome,
    SendState,
    outcome_of_status,
    permanent,
    transient,
)
from node.sending.peer_tls import PeerTls
from node.sending.transcode import CaptureSyntax, syntaxes_for, transcode

SrSopClass = Literal["comprehensive_3d", "comprehensive"]

_MEDIUM_PRIORITY = 0
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


class CStoreSender:
    """Stores objects at one peer; the association stays open from object to object.

    Parameters
    ----------
    peer
        The destination.
    ae_title
        Our own.
    tls
        None for a plain connection.
    sr_sop_class
        ``comprehensive`` sends Comprehensive 3D SR as Comprehensive SR, for a PACS that does not
        know the former; ours have no 3D coordinates, so that only the SOP class differs.
    capture_transfer_syntax
        The destination's wish; another one is taken where the peer does not accept it.
    """

    def __init__(
        self,
        peer: Peer,
        ae_title: str,
        *,
        tls: PeerTls | None = None,
        sr_sop_class: SrSopClass = "comprehensive_3d",
        capture_transfer_syntax: CaptureSyntax = "jpeg",
    ) -> None:
        self._peer = peer
        self._tls = tls
        self._sr_sop_class = sr_sop_class
        self._preferred = capture_transfer_syntax
        self._ae = AE(ae_title=ae_title)
        self._ae.connection_timeout = peer.timeout_s
        self._ae.acse_timeout = peer.timeout_s
        self._ae.dimse_timeout = peer.timeout_s
        self._ae.network_timeout = peer.timeout_s
        self._assoc: Association | None = None
        self._socket: socket.socket | None = None
        self._message_id = 0
        self._progress_at = 0.0
        # All that a node makes is proposed at once, so that one association serves a study.
        self._proposed: set[tuple[UID, UID]] = set()
        self._propose(self._sop_class(Comprehensive3DSRStorage), ExplicitVRLittleEndian)
        self._propose(MultiFrameTrueColorSecondaryCaptureImageStorage, JPEGBaseline8Bit)

    def send(self, stored: StoredObject, path: Path) -> SendOutcome:
        """Send one Part 10 object; `stored` is not looked at, the bytes say what they are."""
        del stored
        try:
            outgoing = _Outgoing.read(path)
        except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
            return permanent(f"the stored object can't be read: {type(error).__name__}")
        fresh = self._assoc is None
        outcome = self._send_once(outgoing)
        if outcome.state is SendState.TRANSIENT and self._assoc is None and not fresh:
            # The peer had closed a kept association; the same UID and bytes again are harmless.
            outcome = self._send_once(outgoing)
        return outcome

    def close(self) -> None:
        """Release the association, if there is one."""
        if self._assoc is not None and _is_open(self._assoc):
            self._assoc.release()
        self._drop()

    def _send_once(self, outgoing: _Outgoing) -> SendOutcome:
        sop_class = self._sop_class(outgoing.sop_class_uid)
        self._propose(sop_class, outgoing.transfer_syntax_uid)
        assoc = self._associate()
        if isinstance(assoc, SendOutcome):
            return assoc
        context = self._choose(assoc, sop_class, outgoing.transfer_syntax_uid)
        if context is None or context.context_id is None:
            return permanent(_nothing_accepted(sop_class))
        try:
            data = outgoing.encode(sop_class, context.transfer_syntax[0])
        except (ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
            return permanent(f"the stored object can't be transcoded: {type(error).__name__}")
        request = C_STORE()
        self._message_id = self._message_id % 0xFFFF + 1
        request.MessageID = self._message_id
        request.Priority = _MEDIUM_PRIORITY
        request.AffectedSOPClassUID = sop_class
        request.AffectedSOPInstanceUID = outgoing.sop_instance_uid
        request.DataSet = BytesIO(data)
        return self._exchange(assoc, context.context_id, request)

    # ---- associations

    def _sop_class(self, sop_class: UID) -> UID:
        if sop_class == Comprehensive3DSRStorage and self._sr_sop_class == "comprehensive":
            return ComprehensiveSRStorage
        return sop_class

    def _propose(self, sop_class: UID, stored: UID) -> None:
        wanted = {(sop_class, syntax) for syntax in syntaxes_for(stored, self._preferred)}
        if not wanted <= self._proposed:
            self._proposed |= wanted
            self.close()

    def _associate(self) -> Association | SendOutcome:
        if self._assoc is not None and _is_open(self._assoc):
            return self._assoc
        self._drop()
        # One transfer syntax per context: the choice is ours, not the peer's.
        contexts = [build_context(*each) for each in sorted(self._proposed)]
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
                contexts=contexts,
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
        self._assoc = assoc
        return assoc

    def _choose(
        self, assoc: Association, sop_class: UID, stored: UID
    ) -> PresentationContext | None:
        accepted = {
            context.transfer_syntax[0]: context
            for context in assoc.accepted_contexts
            if context.abstract_syntax == sop_class
        }
        for syntax in syntaxes_for(stored, self._preferred):
            if syntax in accepted:
                return accepted[syntax]
        return None

    def _drop(self) -> None:
        assoc, self._assoc = self._assoc, None
        if assoc is not None:
            _end(assoc)
        if self._socket is not None:
            self._socket.close()  # pynetdicom forgets to when the peer was faster
            self._socket = None

    # ---- one request and its response

    def _progress(self, event: evt.Event) -> None:
        self._progress_at = time.monotonic()

    def _exchange(self, assoc: Association, context_id: int, request: C_STORE) -> SendOutcome:
        """Send a request and wait for its response.

        ``Association.send_c_store`` is not used: it waits for ever when the peer closes at the
        wrong moment, measures its timeout from before the data have left, and takes any response
        for the right one.
        """
        self._progress_at = time.monotonic()
        assoc.dimse.send_msg(request, context_id)
        response = self._await_response(assoc)
        if isinstance(response, SendOutcome):
            self._drop()
            return response
        answered = response.MessageIDBeingRespondedTo == request.MessageID
        if not (answered and response.is_valid_response and response.Status is not None):
            self._drop()
            return transient("the destination sent a response to another message")
        return outcome_of_status(int(response.Status))

    def _await_response(self, assoc: Association) -> C_STORE | SendOutcome:
        while time.monotonic() - self._progress_at < self._peer.timeout_s:
            try:
                _, message = assoc.dimse.msg_queue.get(timeout=_POLL_S)
            except queue.Empty:
                if not assoc.dul.is_alive():
                    return transient("the destination broke the association off")
                if _release_asked(assoc):
                    return transient("the destination released the association unanswered")
                continue
            if message is None:
                return transient("the destination broke the association off")
            if isinstance(message, C_STORE):
                return message
            return transient("the destination sent a response to another message")
        return transient(f"the destination did not answer within {self._peer.timeout_s:g} s")


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A stored object: what its file meta information says, and where its data set begins."""

    path: Path
    offset_bytes: int
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID

    @classmethod
    def read(cls, path: Path) -> _Outgoing:
        meta, offset = split_dataset(path)
        return cls(
            path,
            offset,
            UID(meta.MediaStorageSOPClassUID),
            UID(meta.MediaStorageSOPInstanceUID),
            UID(meta.TransferSyntaxUID),
        )

    def encode(self, sop_class: UID, syntax: UID) -> bytes:
        """Encode the data set; the stored bytes themselves where nothing is to change."""
        if sop_class == self.sop_class_uid and syntax == self.transfer_syntax_uid:
            with self.path.open("rb") as blob:
                blob.seek(self.offset_bytes)
                return blob.read()
        ds = dcmread(self.path)
        ds.SOPClassUID = sop_class
        transcode(ds, syntax)
        encoded = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian)
        if encoded is None:
            raise ValueError("the data set can't be encoded")
        return encoded


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


def _nothing_accepted(sop_class: UID) -> str:
    hint = (
        '; its setting sr_sop_class = "comprehensive" may help'
        if sop_class == Comprehensive3DSRStorage
        else ""
    )
    return f"the destination accepts no presentation context for {sop_class.name}{hint}"


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
