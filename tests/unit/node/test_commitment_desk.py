"""Each notification gets the status that the standard has for it."""

from __future__ import annotations

import logging

import pytest

from node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, CommitmentAnswer
from node.commitment_desk import CommitmentDesk, Notification, NotificationStatus
from node.errors import LedgerWriteError
from node.ledger.states import AnswerOutcome
from tests.unit.node.test_commitment import encoded, information

GOOD = encoded(information("2.25.1", ["2.25.2"], {"2.25.3": 0x0112}), True)


class Counted:
    def __init__(self) -> None:
        self.results: list[str] = []

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        assert name == "commitment_answers_total"
        self.results.append(labels["result"])


def notification(
    sop_class: str = PUSH_MODEL,
    instance: str = PUSH_MODEL_INSTANCE,
    event_type: int = 2,
    data: bytes | None = GOOD,
) -> Notification:
    return Notification(sop_class, instance, event_type, data, implicit=True)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (notification(sop_class="1.2.840.10008.1.1"), 0x0118),
        (notification(instance="1.2.3"), 0x0112),
        (notification(event_type=3), 0x0113),
        (notification(data=None), 0x0213),
        (notification(data=b""), 0x0114),
        (notification(data=encoded(information(None, ["2.25.2"], {}), True)), 0x0114),
        (notification(data=GOOD[:-3]), 0x0115),
    ],
)
def test_what_is_wrong_is_said_and_not_recorded(asked: Notification, status: int) -> None:
    def record(answer: CommitmentAnswer) -> AnswerOutcome:
        raise AssertionError

    counted = Counted()
    assert CommitmentDesk(record, counted).take(asked) == status
    assert counted.results == ["refused"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (AnswerOutcome.TAKEN, NotificationStatus.SUCCESS),
        (AnswerOutcome.REPEATED, NotificationStatus.SUCCESS),
        (AnswerOutcome.UNKNOWN, NotificationStatus.INVALID_ARGUMENT),
    ],
)
def test_the_ledger_decides(
    outcome: AnswerOutcome, status: NotificationStatus, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[CommitmentAnswer] = []

    def record(answer: CommitmentAnswer) -> AnswerOutcome:
        seen.append(answer)
        return outcome

    counted = Counted()
    with caplog.at_level(logging.INFO):
        assert CommitmentDesk(record, counted).take(notification()) is status
    assert seen == [CommitmentAnswer("2.25.1", frozenset({"2.25.2"}), {"2.25.3": 0x0112})]
    assert counted.results == [outcome.value]
    assert outcome.value in caplog.text
    assert "2.25" not in caplog.text


def test_a_ledger_that_fails_asks_for_the_answer_again() -> None:
    def record(answer: CommitmentAnswer) -> AnswerOutcome:
        raise LedgerWriteError

    assert CommitmentDesk(record).take(notification()) == 0x0110
