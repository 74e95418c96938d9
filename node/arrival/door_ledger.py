"""The ledger as a door sees it: requests to the control process, which alone writes.

Requests of many associations are under way at a time, each with a number. A door that loses the
control process ends, and with it whoever waits here.
"""

from __future__ import annotations

import itertools
from dataclasses import fields
from queue import SimpleQueue
from typing import Any, NamedTuple

from node import errors
from node.arrival.door_line import DoorLine, Message
from node.arrival.door_meter import GatheringMeter
from node.arrival.header import Header
from node.commitment import CommitmentAnswer
from node.errors import CardionodeError, ConfigurationError, LedgerWriteError
from node.ledger.records import Arrival
from node.ledger.states import AnswerOutcome, ArrivalOutcome

#: Requests: kind, number and what it is about.
RECORD, IS_OWN, TAKE_ANSWER = "record", "is_own", "take_answer"
#: Answers: kind, number, and the value, or the name and text of an error.
DONE, FAILED = "done", "failed"

_ARRIVAL_FIELDS = tuple(each.name for each in fields(Arrival))


class _Reply(NamedTuple):
    value: Any
    error: CardionodeError | None


class DoorLedger:
    """Asks, and waits for the answer; thread-safe.

    Parameters
    ----------
    meter
        Each request takes along what it has gathered.
    derived_root
        UIDs of our own results begin with it; others need no look into the ledger.
    """

    def __init__(self, line: DoorLine, meter: GatheringMeter, derived_root: str) -> None:
        self._line = line
        self._meter = meter
        self._derived_root = derived_root
        self._numbers = itertools.count()
        self._waiting: dict[int, SimpleQueue[_Reply]] = {}

    def record(self, arrival: Arrival, quarantine_reason: str | None) -> ArrivalOutcome:
        """Have an arrival written; it is durable when this returns.

        Raises
        ------
        StorageFullError, LedgerWriteError
            As from the ledger itself.
        """
        values = [getattr(arrival, name) for name in _ARRIVAL_FIELDS]
        return ArrivalOutcome(self._ask(RECORD, values, quarantine_reason))

    def is_own(self, header: Header) -> bool:
        """Whether an instance is a result of this node that came back."""
        uid = header.sop_instance_uid
        return uid.startswith(self._derived_root) and bool(self._ask(IS_OWN, uid))

    def take_answer(self, answer: CommitmentAnswer) -> AnswerOutcome:
        """Have a destination's answer about storage commitment written."""
        values = [answer.transaction_uid, sorted(answer.committed), dict(answer.failed)]
        return AnswerOutcome(self._ask(TAKE_ANSWER, values))

    def settle(self, message: Message) -> None:
        """Give an answer to who waits for it."""
        kind, number, *rest = message
        waiting = self._waiting.pop(number)
        if kind == DONE:
            waiting.put(_Reply(rest[0], None))
        else:
            waiting.put(_Reply(None, _error(*rest)))

    def _ask(self, kind: str, *values: object) -> Any:
        number = next(self._numbers)
        waiting = self._waiting[number] = SimpleQueue()
        try:
            self._line.say(self._meter.take(), [kind, number, *values])
        except OSError as error:
            self._waiting.pop(number, None)
            raise LedgerWriteError("The control process has gone.") from error
        reply = waiting.get()
        if reply.error is not None:
            raise reply.error
        return reply.value


def arrival_of(values: list[Any]) -> Arrival:
    """What a door has sent as an arrival."""
    return Arrival(**dict(zip(_ARRIVAL_FIELDS, values, strict=True)))


def answer_of(values: list[Any]) -> CommitmentAnswer:
    """What a door has sent as an answer about storage commitment."""
    transaction_uid, committed, failed = values
    return CommitmentAnswer(transaction_uid, frozenset(committed), failed)


def failure(number: int, error: Exception) -> Message:
    """The answer to a request that failed; of errors that are not ours only the name."""
    text = str(error) if isinstance(error, CardionodeError) else ""
    return [FAILED, number, type(error).__name__, text]


def _error(name: str, text: str) -> CardionodeError:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, CardionodeError)):
        return LedgerWriteError(f"The control process failed ({name}).")
    if issubclass(kind, ConfigurationError):  # It is made of a list, and no error of a ledger.
        return LedgerWriteError(text)
    return kind(text)
