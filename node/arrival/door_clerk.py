"""Does in the control process what a door asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.arrival.door_ledger import (
    DONE,
    IS_OWN,
    RECORD,
    TAKE_ANSWER,
    answer_of,
    arrival_of,
    failure,
)
from node.arrival.door_line import Message
from node.arrival.door_meter import SUMS, add_sums
from node.arrival.meter import Meter
from node.commitment import CommitmentAnswer
from node.ledger.records import ToRecord
from node.ledger.states import AnswerOutcome, ArrivalOutcome


@dataclass(frozen=True, slots=True)
class DoorServices:
    """What doors have from the control process.

    Attributes
    ----------
    record
        Writes arrivals and returns when they are durable; for each its outcome, or its error.
    is_own
        Tells by the SOP Instance UID a result of this node that came back.
    take_answer
        Writes a destination's answer about storage commitment.
    meter
        Gets what doors count.
    """

    record: Callable[[Sequence[ToRecord]], list[ArrivalOutcome | Exception]]
    is_own: Callable[[str], bool]
    take_answer: Callable[[CommitmentAnswer], AnswerOutcome]
    meter: Meter


class Clerk:
    """Works for one door."""

    def __init__(self, services: DoorServices) -> None:
        self._services = services

    def serve(self, messages: Sequence[Message]) -> list[Message]:
        """Do all of it, the arrivals among it in one commit; the answers."""
        answers: list[Message] = []
        arrivals: list[tuple[int, ToRecord]] = []
        for kind, *content in messages:
            if kind == SUMS:
                add_sums([kind, *content], self._services.meter)
            elif kind == RECORD:
                number, values, reason = content
                arrivals.append((number, (arrival_of(values), reason)))
            elif kind in (IS_OWN, TAKE_ANSWER):
                answers.append(self._ask(kind, *content))
        if arrivals:
            answers += self._record(arrivals)
        return answers

    def _record(self, arrivals: Sequence[tuple[int, ToRecord]]) -> list[Message]:
        outcomes: Sequence[ArrivalOutcome | Exception]
        try:
            outcomes = self._services.record([each for _, each in arrivals])
        except Exception as error:  # noqa: BLE001  a door's edge: who waits there gets an answer
            outcomes = [error] * len(arrivals)
        return [
            failure(number, outcome) if isinstance(outcome, Exception) else [DONE, number, outcome]
            for (number, _), outcome in zip(arrivals, outcomes, strict=True)
        ]

    def _ask(self, kind: str, number: int, value: Any) -> Message:
        try:
            if kind == IS_OWN:
                return [DONE, number, self._services.is_own(value)]
            return [DONE, number, self._services.take_answer(answer_of(value))]
        except Exception as error:  # noqa: BLE001  as above
            return failure(number, error)
