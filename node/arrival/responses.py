"""Encodes the answers of the small services; makes that of C-ECHO (PS3.7 section 9.1.5)."""

from __future__ import annotations

from pydicom.uid import UID
from pynetdicom.dimse_messages import C_ECHO_RSP, N_ACTION_RSP, N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import C_ECHO, N_ACTION, N_EVENT_REPORT
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from node.arrival.command import Command

Response = C_ECHO | N_ACTION | N_EVENT_REPORT


def echo_response(command: Command) -> C_ECHO:
    """Answer a C-ECHO."""
    response = C_ECHO()
    response.MessageIDBeingRespondedTo = command.message_id
    response.AffectedSOPClassUID = UID(Verification)
    response.Status = 0x0000
    return response


def encode_response(response: Response, context_id: int, most_bytes: int) -> bytes:
    """Make packets of an answer.

    Parameters
    ----------
    most_bytes
        What the peer takes in one packet; 0 when that is not limited.
    """
    message: C_ECHO_RSP | N_ACTION_RSP | N_EVENT_REPORT_RSP
    if isinstance(response, C_ECHO):
        message = C_ECHO_RSP()
    elif isinstance(response, N_ACTION):
        message = N_ACTION_RSP()
    else:
        message = N_EVENT_REPORT_RSP()
    message.primitive_to_message(response)
    packets = message.encode_msg(context_id, most_bytes)
    return b"".join(P_DATA_TF(each).encode() for each in packets)
