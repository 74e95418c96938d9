"""Takes destinations' answers about storage commitment, whichever association they come on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from node.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswer,
    EventType,
    MissingTransactionError,
    read_answer,
)
from node.errors import BadObjectError, CardionodeError
from node.ledger.states import AnswerOutcome

_log = logging.getLogger(__name__)


class NotificationStatus(IntEnum):
    """What an N-EVENT-REPORT is answered with (PS3.7 section 10.1.1.1.8)."""

    SUCCESS = 0x0000  #: The answer is in the ledger, or was there already.
    PROCESSING_FAILURE = 0x0110  #: The ledger can't be written: send it again later.
    NO_SUCH_INSTANCE = 0x0112  #: It is not about the well-known instance.
    NO_SUCH_EVENT_TYPE = 0x0113  #: There are two types, and this is another.
    NO_SUCH_ARGUMENT = 0x0114  #: It has no Transaction UID.
    INVALID_ARGUMENT = 0x0115  #: It can't be read, or belongs to no request of ours.
    NO_SUCH_CLASS = 0x0118  #: It is of another SOP class.
    RESOURCE_LIMITATION = 0x0213  #: It is longer than what we take.


@dataclass(frozen=True, slots=True)
class Notification:
    """An N-EVENT-REPORT request.

    Attributes
    ----------
    information
        Its data set in little endian; None when it was too long to keep.
    implicit
        Whether the VRs in it are implicit.
    """

    sop_class_uid: str
    sop_instance_uid: str
    event_type: int
    information: bytes | None
    implicit: bool


class Counter(Protocol):
    """Takes counts."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""


class CommitmentDesk:
    """Checks and records answers; thread-safe.

    Parameters
    ----------
    record
        Writes an answer into the ledger, and returns when it is durable.
    """

    def __init__(
        self,
        record: Callable[[CommitmentAnswer], AnswerOutcome],
        counter: Counter | None = None,
    ) -> None:
        self._record = record
        self._counter = counter

    def take(self, notification: Notification) -> NotificationStatus:
        """Record an answer; what it is answered with in turn."""
        status, result = self._judge(notification)
        if self._counter is not None:
            self._counter.count("commitment_answers_total", result=result)
        # Nothing of the answer is logged: whoever sent it chose what is in it.
        extra = {"action": "commitment_answer", "result": result, "status": f"0x{status:04X}"}
        if result in (AnswerOutcome.TAKEN, AnswerOutcome.REPEATED):
            _log.info("an answer about storage commitment: %s", result, extra=extra)
        else:
            _log.warning("an answer about storage commitment: %s", result, extra=extra)
        return status

    def _judge(self, notification: Notification) -> tuple[NotificationStatus, str]:
        status = _status_of_head(notification)
        if status is not None or notification.information is None:
            return status or NotificationStatus.RESOURCE_LIMITATION, "refused"
        try:
            answer = read_answer(notification.information, implicit=notification.implicit)
        except MissingTransactionError:
            return NotificationStatus.NO_SUCH_ARGUMENT, "refused"
        except BadObjectError:
            return NotificationStatus.INVALID_ARGUMENT, "refused"
        try:
            outcome = self._record(answer)
        except CardionodeError:
            return NotificationStatus.PROCESSING_FAILURE, "not_recorded"
        if outcome is AnswerOutcome.UNKNOWN:
            return NotificationStatus.INVALID_ARGUMENT, outcome.value
        return NotificationStatus.SUCCESS, outcome.value


def _status_of_head(notification: Notification) -> NotificationStatus | None:
    """What is wrong with the command; None when nothing is."""
    if notification.sop_class_uid != PUSH_MODEL:
        return NotificationStatus.NO_SUCH_CLASS
    if notification.sop_instance_uid != PUSH_MODEL_INSTANCE:
        return NotificationStatus.NO_SUCH_INSTANCE
    if notification.event_type not in tuple(EventType):
        return NotificationStatus.NO_SUCH_EVENT_TYPE
    return None
