"""What came of sending one object, and what a C-STORE status means for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from node.ledger.records import StoredObject


class SendState(StrEnum):
    """Whether an object arrived, and if not, whether to try again."""

    SENT = "sent"  #: The destination has the object.
    TRANSIENT = "transient"  #: It may not have it; the same UID and bytes may succeed later.
    PERMANENT = "permanent"  #: It refused the object, and would refuse it again.


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """The end of one attempt.

    Attributes
    ----------
    note
        A sentence for people without patient data; empty for a plain success.
    reachable
        False when the destination did not even accept an association, so that other objects
        need not be tried now.
    """

    state: SendState
    note: str = ""
    reachable: bool = True


class Sender(Protocol):
    """Brings objects to one destination; used by one thread."""

    def send(self, stored: StoredObject, path: Path) -> SendOutcome:
        """Send the object whose bytes are at `path`; never raises for what a destination does."""
        ...

    def close(self) -> None:
        """Let go of the destination: no object follows soon. Sending again opens it again."""
        ...


def sent(note: str = "") -> SendOutcome:
    """Make the outcome of an object that the destination has."""
    return SendOutcome(SendState.SENT, note)


def transient(note: str, *, reachable: bool = True) -> SendOutcome:
    """Make the outcome of an attempt whose repetition may succeed."""
    return SendOutcome(SendState.TRANSIENT, note, reachable)


def permanent(note: str, *, reachable: bool = True) -> SendOutcome:
    """Make the outcome of an attempt whose repetition would fail."""
    return SendOutcome(SendState.PERMANENT, note, reachable)


# PS3.4 table B.2-1 and PS3.7 annex C: exact codes first, ranges below.
_WARNINGS = {
    0x0001: "requested optional attributes are not supported",
    0x0107: "attribute list error",
    0x0116: "attribute value out of range",
    0xB000: "elements were coerced",
    0xB006: "elements were discarded",
    0xB007: "the data set does not match the SOP class",
}
_TRANSIENT = {
    0x0110: "processing failure",
    0x0210: "duplicate invocation",
    0x0213: "resource limitation",
    0xFE00: "cancelled",
}
_PERMANENT = {
    0x0106: "invalid attribute value",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0xA800: "SOP class not supported",
}
_DUPLICATE_SOP_INSTANCE = 0x0111


def outcome_of_status(status: int) -> SendOutcome:
    """Judge the status of a C-STORE response (PS3.4 table B.2-1, PS3.7 annex C).

    Parameters
    ----------
    status
        0 to 0xFFFF.

    Returns
    -------
    Sent for success, for every warning (the peer has stored the object) and for "duplicate SOP
    instance" (an earlier attempt arrived); an unknown code is transient, as its cause is unknown.
    """
    if status == 0x0000:
        return sent()
    if status == _DUPLICATE_SOP_INSTANCE:
        return sent("the destination had the object already (0x0111)")
    if status in _WARNINGS or 0xB000 <= status <= 0xBFFF:
        return sent(f"warning 0x{status:04X}: {_WARNINGS.get(status, 'unspecified')}")
    if status in _TRANSIENT:
        return transient(f"refused, 0x{status:04X}: {_TRANSIENT[status]}")
    if status in _PERMANENT:
        return permanent(f"refused, 0x{status:04X}: {_PERMANENT[status]}")
    if 0xA700 <= status <= 0xA7FF:
        return transient(f"refused, 0x{status:04X}: out of resources")
    if 0xA900 <= status <= 0xA9FF:
        return permanent(f"refused, 0x{status:04X}: the data set does not match its SOP class")
    if 0xC000 <= status <= 0xCFFF:
        return permanent(f"refused, 0x{status:04X}: cannot understand")
    return transient(f"refused, 0x{status:04X}: a status the standard does not know for C-STORE")
