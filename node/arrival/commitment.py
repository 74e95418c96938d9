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

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext

from node.arrival.incoming import IncomingDataset
from node.arrival.meter import Meter
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

    def on_event_report(self, event: evt.Event) -> tuple[int, None]:
        """Take an N-EVENT-REPORT; the status of its response."""
        request = event.request
        dataset = getattr(request, "EventInformation", None)
        information: bytes | None = b""
        if isinstance(dataset, IncomingDataset):
            information = None if dataset.is_cut else dataset.getvalue()
        notification = Notification(
            str(getattr(request, "AffectedSOPClassUID", "")),
            str(getattr(request, "AffectedSOPInstanceUID", "")),
            int(getattr(request, "EventTypeID", 0)),
            information,
            event.context.transfer_syntax == IMPLICIT_VR,
        )
        return int(self._desk.take(notification)), None

    def on_action(self, event: evt.Event) -> tuple[Dataset, None]:
        """Refuse an N-ACTION; the status of its response, and why."""
        request = event.request
        status = Dataset()
        if getattr(request, "RequestedSOPClassUID", None) != PUSH_MODEL:
            status.Status = _NO_SUCH_CLASS
        elif getattr(request, "RequestedSOPInstanceUID", None) != PUSH_MODEL_INSTANCE:
            status.Status = _NO_SUCH_INSTANCE
        elif getattr(request, "ActionTypeID", None) != _REQUEST_STORAGE_COMMITMENT:
            status.Status = _NO_SUCH_ACTION
        else:
            status.Status = _NOT_AUTHORISED
            status.ErrorComment = _NO_ARCHIVE
        self._meter.count(
            "commitments_refused_total",
            ae=event.assoc.requestor.ae_title.strip(),
            status=f"0x{status.Status:04X}",
        )
        return status, None


def commitment_context() -> PresentationContext:
    """Make the presentation context for both roles; its data sets are never large."""
    context = PresentationContext()
    context.abstract_syntax = UID(PUSH_MODEL)
    context.transfer_syntax = [UID(EXPLICIT_VR), UID(IMPLICIT_VR)]
    context.scu_role = True
    context.scp_role = True
    return context
