"""The courier records what came of each delivery, and leaves a dead destination alone."""

from __future__ import annotations

import errno
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from node.ledger.records import Delivery, StoredObject
from node.retry import RetryPolicy
from node.sending.courier import LONGEST_PAUSE_S, Courier
from node.sending.outcome import SendOutcome, SendState
from tests.sending_objects import report

NOW = 1000.0


class Outbox:
    """An outbox in memory that remembers its transitions."""

    def __init__(self, *deliveries: Delivery) -> None:
        self.due = list(deliveries)
        self.log: list[tuple[str, int, str]] = []
        self.empty = threading.Event()

    def claim_delivery(self, destination: str, lease_s: float) -> Delivery | None:
        if not self.due:
            self.empty.set()
            return None
        return self.due.pop(0)

    def delivery_sent(
        self, delivery: Delivery, note: str, commit_wait_s: float | None = None
    ) -> None:
        self.log.append(("sent", delivery.id, note))

    def delivery_retry(self, delivery: Delivery, reason: str, at: float, permanent: bool) -> None:
        assert NOW <= at <= NOW + 5.0 * 2.0 ** (delivery.attempt - 1)
        self.log.append(("refused" if permanent else "retry", delivery.id, reason))

    def delivery_dead(self, delivery: Delivery, reason: str) -> None:
        self.log.append(("dead", delivery.id, reason))


class Scripted:
    """A sender that gives the outcomes it was told."""

    def __init__(self, *outcomes: SendOutcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[str] = []

    def send(self, stored: StoredObject, path: Path) -> SendOutcome:
        self.sent.append(stored.study_instance_uid)
        return self.outcomes.pop(0) if self.outcomes else SendOutcome(SendState.SENT)

    def close(self) -> None:
        self.sent.append("close")


def delivery(folder: Path, number: int = 1, study_uid: str = "2.25.1") -> Delivery:
    stored = report(folder, number, study_uid)
    return Delivery(number, "pacs", stored, 1, 1, NOW, 0)


def courier(outbox: Outbox, sender: Scripted, folder: Path) -> Courier:
    return Courier(
        outbox,
        "pacs",
        sender,
        folder,
        clock=lambda: NOW,
        policy=RetryPolicy(),
        rng=random.Random(1),
        idle_s=0.01,
    )


def drain(outbox: Outbox, sender: Scripted, folder: Path) -> list[tuple[str, int, str]]:
    to_pacs = courier(outbox, sender, folder)
    while to_pacs.deliver_next():
        pass
    return outbox.log


def test_each_outcome_is_one_transition(tmp_path: Path) -> None:
    outbox = Outbox(*(delivery(tmp_path, number) for number in (1, 2, 3)))
    sender = Scripted(
        SendOutcome(SendState.SENT, "warning 0xB000"),
        SendOutcome(SendState.TRANSIENT, "busy"),
        SendOutcome(SendState.PERMANENT, "no"),
    )
    assert drain(outbox, sender, tmp_path) == [
        ("sent", 1, "warning 0xB000"),
        ("retry", 2, "busy"),
        ("refused", 3, "no"),
    ]


def test_the_third_refusal_is_the_last(tmp_path: Path) -> None:
    outbox = Outbox(replace(delivery(tmp_path), attempt=3, permanent_refusals=2))
    log = drain(outbox, Scripted(SendOutcome(SendState.PERMANENT, "no")), tmp_path)
    assert log == [("dead", 1, "no (3 times)")]


def test_the_association_is_kept_within_a_study_only(tmp_path: Path) -> None:
    outbox = Outbox(delivery(tmp_path, 1), delivery(tmp_path, 2), delivery(tmp_path, 3, "2.25.2"))
    sender = Scripted()
    drain(outbox, sender, tmp_path)
    assert sender.sent == ["close", "2.25.1", "2.25.1", "close", "2.25.2", "close"]


def test_damaged_and_missing_objects_are_not_sent(tmp_path: Path) -> None:
    damaged, missing = delivery(tmp_path, 1), delivery(tmp_path, 2)
    (tmp_path / damaged.object.path).write_bytes(b"flipped")
    (tmp_path / missing.object.path).unlink()
    sender = Scripted()
    log = drain(Outbox(damaged, missing), sender, tmp_path)
    assert [what for what, _, _ in log] == ["refused", "refused"]
    assert "2.25.1" not in sender.sent


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE])
def test_an_object_that_can_not_be_read_now_is_not_given_up(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(replace(delivery(tmp_path), attempt=3, permanent_refusals=2))

    def fail(*_: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(Path, "open", fail)
    ((what, _, reason),) = drain(outbox, Scripted(), tmp_path)
    assert what == "retry"
    assert errno.errorcode[code] in reason


def test_an_unreachable_destination_is_left_alone_longer_and_longer(tmp_path: Path) -> None:
    outbox = Outbox(*(delivery(tmp_path, number) for number in range(1, 8)))
    away = SendOutcome(SendState.TRANSIENT, "no connection", reachable=False)
    to_pacs = courier(outbox, Scripted(*[away] * 6), tmp_path)
    pauses = []
    for _ in range(7):
        to_pacs.deliver_next()
        pauses.append(to_pacs.pause_s)
    assert pauses == [5.0, 10.0, 20.0, 40.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, 0.0]


def test_the_thread_delivers_and_survives_a_failing_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(delivery(tmp_path, 1), delivery(tmp_path, 2))
    monkeypatch.setattr(Courier, "pause_s", 0.01)
    sent = outbox.delivery_sent
    failures = [RuntimeError("locked")]

    def failing(each: Delivery, note: str, commit_wait_s: float | None = None) -> None:
        if failures:
            raise failures.pop()
        sent(each, note)

    monkeypatch.setattr(outbox, "delivery_sent", failing)
    to_pacs = courier(outbox, Scripted(), tmp_path)
    to_pacs.start()
    to_pacs.wake()
    assert outbox.empty.wait(10)
    assert to_pacs.stop(10)
    assert outbox.log == [("sent", 2, "")]


def test_stopping_ends_a_pause(tmp_path: Path) -> None:
    outbox = Outbox(delivery(tmp_path, 1), delivery(tmp_path, 2))
    away = SendOutcome(SendState.TRANSIENT, "no connection", reachable=False)
    to_pacs = courier(outbox, Scripted(away), tmp_path)
    to_pacs.start()
    while not outbox.log:
        threading.Event().wait(0.01)
    assert to_pacs.stop(5)
    assert len(outbox.due) == 1
