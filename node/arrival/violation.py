"""How a peer can break the protocol, and what it is told: an A-ABORT (PS3.8 section 9.3.8)."""

from __future__ import annotations

from enum import Enum

from node.errors import BadObjectError


class AbortReason(Enum):
    """Source and reason of an A-ABORT (PS3.8 table 9-26)."""

    #: Of the service user: there is no further reason.
    USER = (0, 0)
    NOT_SPECIFIED = (2, 0)
    UNRECOGNISED_PDU = (2, 1)
    UNEXPECTED_PDU = (2, 2)
    INVALID_PARAMETER = (2, 6)

    @property
    def pdu(self) -> bytes:
        """The whole A-ABORT."""
        source, reason = self.value
        return bytes((0x07, 0, 0, 0, 0, 4, 0, 0, source, reason))


class ProtocolViolationError(BadObjectError):
    """The peer breaks the protocol; the association can't go on.

    Attributes
    ----------
    word
        Names the kind of violation in metrics.
    abort
        What the peer is told.
    """

    def __init__(self, message: str, word: str, abort: AbortReason) -> None:
        super().__init__(message)
        self.word = word
        self.abort = abort


class PduError(ProtocolViolationError):
    """A packet of the upper layer is wrong (PS3.8 section 9.3)."""

    def __init__(
        self, message: str, word: str, abort: AbortReason = AbortReason.INVALID_PARAMETER
    ) -> None:
        super().__init__(message, word, abort)


class MessageError(ProtocolViolationError):
    """A message is wrong, or was not due (PS3.7)."""

    def __init__(self, message: str, word: str = "message") -> None:
        super().__init__(message, word, AbortReason.USER)
