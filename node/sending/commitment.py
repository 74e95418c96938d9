"""Asks a PACS to commit what it was sent: N-ACTION, and its answer on the same association.

PS3.4 Annex J, Storage Commitment Push Model. The answer may also come on an association that the
PACS opens to us: ``node/arrival/commitment.py`` takes that one.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.presentation import PresentationContext, build_context

from node.commitment import EXPLICIT_VR, IMPLICIT_VR, MAX_ANSWER_BYTES, PUSH_MODEL
from node.commitment import PUSH_MODEL_INSTANCE as INSTANCE
from node.commitment_desk import CommitmentDesk, Notification, NotificationStatus
from node.ledger.commitments import Commitment
from node.sending.association import Line, Peer
from node.sending.c_store import SrSopClass, sop_class_as_sent
from node.sending.outcome import SendOutcome, permanent, sent, transient
from node.sending.peer_tls import PeerTls

_REQUEST_STORAGE_COMMITMENT = 1  # PS3.4 table J.3-1

#: PS3.7 section 10.1.4.1.10. What is not named here would be refused again.
_STATUSES = {
    0x0112: "no such SOP instance",
    0x0114: "no such argument",
    0x0115: "invalid argument value",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0122: "SOP class not supported",
    0x0123: "no such action",
    0x0124: "not authorised",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}
_TRANSIENT_STATUSES = {
    0x0110: "processing failure",
    0x0210: "duplicate invocation",
    0x0213: "resource limitation",
}


class Requester(Protocol):
    """Asks one destination for commitment; used by one thread."""

    def ask(self, commitment: Commitment) -> SendOutcome:
        """Ask; sent when the destination has accepted the request."""
        ...

    def linger(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Wait for the answer on the same association, not longer than this."""
        ...

    def close(self) -> None:
        """Let go of the destination."""
        ...


class CommitmentRequester:
    """Asks one PACS.

    Parameters
    ----------
    desk
        Takes the answers.
    tls
        What TLS is spoken with; None for plain TCP.
    sr_sop_class
        By which class reports were sent, see :class:`~node.sending.c_store.CStoreSender`.
    """

    def __init__(
        self,
        peer: Peer,
        ae_title: str,
        desk: CommitmentDesk,
        *,
        tls: PeerTls | None = None,
        sr_sop_class: SrSopClass = "comprehensive_3d",
    ) -> None:
        self._desk = desk
        self._sr_sop_class = sr_sop_class
        self._line = Line(peer, ae_title, self._notified, tls)
        self._assoc: Association | None = None
        self._is_answered = False

    def ask(self, commitment: Commitment) -> SendOutcome:
        """Send the request; sent when the PACS has accepted it, not when it has answered."""
        self._is_answered = False
        assoc = self._line.open([build_context(PUSH_MODEL, [EXPLICIT_VR, IMPLICIT_VR])])
        if isinstance(assoc, SendOutcome):
            return assoc
        self._assoc = assoc
        context = _accepted(assoc)
        if context is None or context.context_id is None:
            return permanent("the destination accepts no presentation context for it")
        request = N_ACTION()
        request.MessageID = self._line.next_message_id()
        request.RequestedSOPClassUID = UID(PUSH_MODEL)
        request.RequestedSOPInstanceUID = UID(INSTANCE)
        request.ActionTypeID = _REQUEST_STORAGE_COMMITMENT
        request.ActionInformation = BytesIO(
            _encoded(self._information(commitment), context.transfer_syntax[0])
        )
        response = self._line.exchange(assoc, context.context_id, request, N_ACTION)
        if isinstance(response, SendOutcome):
            return response
        return outcome_of_action_status(int(response.Status or 0))

    def linger(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Keep the association open for the answer, not longer than this."""
        self._line.listen(seconds, lambda: self._is_answered or stopped())

    def close(self) -> None:
        """Release the association, if there is one."""
        self._assoc = None
        self._line.close()

    def _information(self, commitment: Commitment) -> Dataset:
        ds = Dataset()
        ds.TransactionUID = commitment.transaction_uid
        items = []
        for sop_class_uid, sop_instance_uid in commitment.references:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class_as_sent(UID(sop_class_uid), self._sr_sop_class)
            item.ReferencedSOPInstanceUID = sop_instance_uid
            items.append(item)
        ds.ReferencedSOPSequence = Sequence(items)
        return ds

    def _notified(self, request: Any, context_id: int) -> None:
        assoc = self._assoc
        if assoc is None:
            return
        implicit = assoc._accepted_cx[context_id].transfer_syntax[0] == IMPLICIT_VR
        information = request.EventInformation
        data = information.getvalue() if information is not None else b""
        status = self._desk.take(
            Notification(
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                int(request.EventTypeID or 0),
                data if len(data) <= MAX_ANSWER_BYTES else None,
                implicit,
            )
        )
        response = N_EVENT_REPORT()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        response.EventTypeID = request.EventTypeID
        response.Status = int(status)
        assoc.dimse.send_msg(response, context_id)
        # One that belongs to another request leaves this one waiting.
        self._is_answered = status is NotificationStatus.SUCCESS


def outcome_of_action_status(status: int) -> SendOutcome:
    """Judge the status of an N-ACTION response (PS3.7 section 10.1.4.1.10).

    A failure says that the peer is not processing the request (PS3.4 section J.3.2.1.3).
    """
    if status == 0x0000 or status in (0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return sent("" if status == 0x0000 else f"warning 0x{status:04X}")
    if status in _STATUSES:
        return permanent(f"refused, 0x{status:04X}: {_STATUSES[status]}")
    words = _TRANSIENT_STATUSES.get(status, "a status the standard does not know for N-ACTION")
    return transient(f"refused, 0x{status:04X}: {words}")


def _accepted(assoc: Association) -> PresentationContext | None:
    found = (each for each in assoc.accepted_contexts if each.abstract_syntax == PUSH_MODEL)
    return next(found, None)


def _encoded(ds: Dataset, syntax: UID) -> bytes:
    encoded = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("the request can't be encoded")
    return encoded
