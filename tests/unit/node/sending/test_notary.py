"""The notary writes each step down before and after it asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from node.commitment import MOST_REFERENCES
from node.ledger.commitments import Commitment, Judge, Setback
from node.retry import RetryDecision
from node.sending.commitment import outcome_of_action_status
from node.sending.notary import LONGEST_PAUSE_S, Notary, Patience
from node.sending.outcome import SendOutcome, SendState, permanent, sent, transient


def judge(setback: Setback) -> RetryDecision:
    raise AssertionError(setback)


class Journal:
    """A book and a requester that note in which order they are used."""

    def __init__(self, due: int, *outcomes: SendOutcome) -> None:
        self.due = due
        self.outcomes = list(outcomes)
        self.log: list[str] = []
        self.counted: list[tuple[str, float]] = []
        self.failing = False
        self.idle = threading.Event()

    def begin(self, destination: str, transaction_uid: str, limit: int) -> Commitment | None:
        if self.failing:
            self.failing = False
            raise RuntimeError("locked")
        assert (destination, limit) == ("pacs", MOST_REFERENCES)
        if not self.due:
            self.idle.set()
            return None
        self.due -= 1
        self.log.append("begin")
        return Commitment(transaction_uid, destination, (("1.2", "1.2.3"),))

    def accepted(self, transaction_uid: str) -> None:
        self.log.append(f"accepted {transaction_uid}")

    def refused(self, transaction_uid: str, reason: str, permanent: bool, judge: Judge) -> None:
        self.log.append(f"refused {transaction_uid}: {reason}, {permanent}")

    def expire(self, destination: str, timeout_s: float, judge: Judge) -> int:
        assert timeout_s == 60.0
        return 0

    def ask(self, commitment: Commitment) -> SendOutcome:
        self.log.append("ask")
        return self.outcomes.pop(0) if self.outcomes else sent()

    def linger(self, seconds: float, stopped: Callable[[], bool]) -> None:
        assert not stopped()
        self.log.append(f"linger {seconds:g}")

    def close(self) -> None:
        self.log.append("close")

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        assert (name, labels["destination"]) == ("commitment_requests_total", "pacs")
        self.counted.append((labels["result"], amount))


def notary(journal: Journal) -> Notary:
    return Notary(
        journal, "pacs", journal, judge, Patience(5.0, 60.0), lambda: "2.25.1",
        counter=journal, idle_s=0.01,
    )  # fmt: skip


def test_a_request_is_written_down_asked_and_waited_for() -> None:
    journal = Journal(1)
    asks = notary(journal)
    assert asks.ask_next()
    assert not asks.ask_next()
    assert journal.log == ["begin", "ask", "accepted 2.25.1", "linger 5", "close"]
    assert journal.counted == [("asked", 1)]


@pytest.mark.parametrize(
    ("outcome", "result"), [(permanent("no"), "refused"), (transient("no"), "failed")]
)
def test_a_refusal_is_written_down(outcome: SendOutcome, result: str) -> None:
    journal = Journal(1, outcome)
    assert notary(journal).ask_next()
    is_permanent = outcome.state is SendState.PERMANENT
    assert journal.log == ["begin", "ask", "close", f"refused 2.25.1: no, {is_permanent}"]
    assert journal.counted == [(result, 1)]


def test_what_waited_too_long_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(0)
    monkeypatch.setattr(journal, "expire", lambda *_: 2)
    assert not notary(journal).ask_next()
    assert journal.counted == [("unanswered", 2)]


def test_a_destination_that_can_not_be_asked_is_left_alone_longer_and_longer() -> None:
    asks = notary(Journal(9, *[transient("away")] * 8))
    pauses = []
    for _ in range(9):
        asks.ask_next()
        pauses.append(asks.pause_s)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, 0.0]


def test_the_thread_asks_and_survives_a_failing_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notary, "pause_s", 0.01)
    journal = Journal(2)
    journal.failing = True
    asks = notary(journal)
    asks.start()
    assert journal.idle.wait(20)
    assert asks.stop(20)
    assert journal.log.count("accepted 2.25.1") == 2
    assert journal.log[-1] == "close"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, SendState.SENT),
        (0x0116, SendState.SENT),
        (0xB101, SendState.SENT),
        (0x0110, SendState.TRANSIENT),
        (0x0213, SendState.TRANSIENT),
        (0x4711, SendState.TRANSIENT),
        (0x0112, SendState.PERMANENT),
        (0x0122, SendState.PERMANENT),
        (0x0124, SendState.PERMANENT),
    ],
)
def test_the_status_of_an_action_decides(status: int, state: SendState) -> None:
    assert outcome_of_action_status(status).state is state
