"""Storage commitment on associations that others open (PS3.4 Annex J).

*As SCU* the node takes the answer to a request of its own. The PACS opens an association for it
and proposes the SCP role for itself (PS3.7 section D.3.3.4); one that forgets to propose a role is
understood, too.

*As SCP* the node refuses. It is no archive, so it can't commit. An N-ACTION response with success
would mean that the request is processed (PS3.4 section J.3.2.1.3) and would owe the sender an
N-EVENT-REPORT, which an SCP must be able to send on another association (section J.3.3.1.2), as
the sender may release this one at any time. The node knows nobody's address but its destinations',
so the sender might wait for ever. A failure status in the response tells at once that the request
is not processed, whatever it names: ten thousand instances, unknown ones, or one of them twice.
0x0124 is one of those that N-ACTION has (PS3.7 section 10.1.4.1.10), and says that asking again is
of no use.
"""

from __future__ import annotations

from typing import TypeVar

from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext

from node.arrival.command import Command
from node.arrival.meter import Meter
from node.arrival.uid import is_uid
from node.commitment import EXPLICIT_VR, IMPLICIT_VR, PUSH_MODEL, PUSH_MODEL_INSTANCE
from node.commitment_desk import CommitmentDesk, Notification

_NO_SUCH_INSTANCE = 0x0112
_NO_SUCH_CLASS = 0x0118
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORISED = 0x0124
_REQUEST_STORAGE_COMMITMENT = 1
#: (0000,0902), 64 characters at most.
_NO_ARCHIVE = "This node does not archive. Keep the instances."


class CommitmentService:
    """Answers the two requests of the service class.

    Parameters
    ----------
    desk
        Takes answers to our own requests.
    """

    def __init__(self, desk: CommitmentDesk, meter: Meter) -> None:
        self._desk = desk
        self._meter = meter

    def on_event_report(
        self, command: Command, information: bytes | None, *, implicit: bool
    ) -> N_EVENT_REPORT:
        """Take an N-EVENT-REPORT; its response.

        Parameters
        ----------
        information
            The data set; None when it was too long to keep.
        implicit
            Whether the VRs in it are implicit.
        """
        notification = Notification(
            command.sop_class_uid, command.sop_instance_uid, command.type_id, information, implicit
        )
        response = N_EVENT_REPORT()
        response.EventTypeID = command.type_id
        response.Status = int(self._desk.take(notification))
        return _about(command, response)

    def on_action(self, command: Command, ae_title: str) -> N_ACTION:
        """Refuse an N-ACTION; its response says why.

        Parameters
        ----------
        ae_title
            The sender's.
        """
        response = N_ACTION()
        response.ActionTypeID = command.type_id
        if command.sop_class_uid != PUSH_MODEL:
            response.Status = _NO_SUCH_CLASS
        elif command.sop_instance_uid != PUSH_MODEL_INSTANCE:
            response.Status = _NO_SUCH_INSTANCE
        elif command.type_id != _REQUEST_STORAGE_COMMITMENT:
            response.Status = _NO_SUCH_ACTION
        else:
            response.Status = _NOT_AUTHORISED
            response.ErrorComment = _NO_ARCHIVE  # type: ignore[assignment]
        self._meter.count(
            "commitments_refused_total", ae=ae_title, status=f"0x{response.Status:04X}"
        )
        return _about(command, response)


Response = TypeVar("Response", N_ACTION, N_EVENT_REPORT)


def _about(command: Command, response: Response) -> Response:
    """Repeat what the request was about; what is no UID can't be repeated, and need not be."""
    response.MessageIDBeingRespondedTo = command.message_id
    if is_uid(command.sop_class_uid):
        response.AffectedSOPClassUID = UID(command.sop_class_uid)
    if is_uid(command.sop_instance_uid):
        response.AffectedSOPInstanceUID = UID(command.sop_instance_uid)
    return response


def commitment_context() -> PresentationContext:
    """Make the presentation context for both roles; its data sets are never large."""
    context = PresentationContext()
    context.abstract_syntax = UID(PUSH_MODEL)
    context.transfer_syntax = [UID(EXPLICIT_VR), UID(IMPLICIT_VR)]
    context.scu_role = True
    context.scp_role = True
    return context
