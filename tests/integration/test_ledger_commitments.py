"""Requests for storage commitment in the ledger: each change, and restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

import node.ledger
from node.commitment import CommitmentAnswer
from node.ledger.commitments import Commitment
from node.ledger.ledger import Ledger
from node.ledger.states import AnswerOutcome
from tests.commitment_outbox import ATTEMPTS, STUDY, deliver, judge, objects, queue, rows, states
from tests.ledger_with_study import make_arrival

ALL = (f"{STUDY}.1", f"{STUDY}.2")
TIMEOUT_S = 3600.0


class VirtualClock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(path, clock) as opened:
        queue(opened, clock, objects(2))
        yield opened


def ask(ledger: Ledger, uid: str) -> Commitment:
    commitment = ledger.commitments.begin("pacs", uid, 100)
    assert commitment is not None
    ledger.commitments.accepted(uid)
    return commitment


def answer(ledger: Ledger, uid: str, *committed: str, **failed: int) -> AnswerOutcome:
    by_uid = {f"{STUDY}.{name[1:]}": code for name, code in failed.items()}
    said = CommitmentAnswer(uid, frozenset(committed), by_uid)
    return ledger.commitments.answered(said, judge)


def told(ledger: Ledger) -> list[str]:
    return [
        each.what
        for each in ledger.events(STUDY)
        if each.subject == "delivery 1 to pacs" and each.what != "sending"
    ]


def test_what_was_sent_is_asked_for_and_committed(ledger: Ledger, clock: VirtualClock) -> None:
    assert ledger.commitments.begin("pacs", "2.25.1", 100) is None
    assert deliver(ledger, wait_s=10.0) == list(ALL)
    assert ledger.commitments.begin("pacs", "2.25.1", 100) is None  # the wait is not over
    clock.now += 10.0
    assert ledger.commitments.begin("archive", "2.25.1", 100) is None
    commitment = ask(ledger, "2.25.1")
    assert [instance for _, instance in commitment.references] == list(ALL)
    assert ledger.commitments.begin("pacs", "2.25.2", 100) is None  # it was asked for
    assert ledger.counts()["commitments"]["asked"] == 1
    assert ledger.oldest_unfinished() == {"commitment by pacs": clock.now}
    assert states(ledger) == ["sent", "sent"]
    assert answer(ledger, "2.25.1", *ALL) is AnswerOutcome.TAKEN
    assert states(ledger) == ["committed", "committed"]
    assert told(ledger) == ["waiting", "sent", "commitment asked", "committed"]
    assert ledger.counts()["commitments"]["answered"] == 1
    assert ledger.oldest_unfinished() == {}


def test_what_is_sent_without_commitment_is_never_asked_for(ledger: Ledger) -> None:
    deliver(ledger, wait_s=None)
    assert ledger.commitments.begin("pacs", "2.25.1", 100) is None


def test_a_request_is_bounded(ledger: Ledger) -> None:
    deliver(ledger)
    first = ledger.commitments.begin("pacs", "2.25.1", 1)
    second = ledger.commitments.begin("pacs", "2.25.2", 1)
    assert first is not None
    assert second is not None
    assert [c.references[0][1] for c in (first, second)] == list(ALL)


def test_the_answer_may_come_before_the_response(ledger: Ledger) -> None:
    deliver(ledger)
    ledger.commitments.begin("pacs", "2.25.1", 100)
    assert answer(ledger, "2.25.1", *ALL) is AnswerOutcome.TAKEN
    ledger.commitments.accepted("2.25.1")
    assert states(ledger) == ["committed", "committed"]
    assert ledger.counts()["commitments"]["answered"] == 1


def test_what_is_not_committed_is_sent_again_then_given_up(
    ledger: Ledger, clock: VirtualClock
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        assert deliver(ledger) == (list(ALL) if attempt == 1 else [ALL[1]])
        uid = f"2.25.{attempt}"
        ask(ledger, uid)
        # once it is named as failed, else not at all
        failed = {"_2": 0x0112} if attempt == 1 else {}
        assert answer(ledger, uid, ALL[0], **failed) is AnswerOutcome.TAKEN
        clock.now += 2.0
    assert states(ledger) == ["committed", "dead"]
    assert rows(ledger)[1].reason == "not committed: the answer does not name it"
    assert ledger.retry_dead() == 1
    assert deliver(ledger) == [ALL[1]]
    ask(ledger, "2.25.9")
    answer(ledger, "2.25.9", ALL[1])
    assert states(ledger) == ["committed", "committed"]


def test_the_failure_reason_is_kept(ledger: Ledger) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    answer(ledger, "2.25.1", ALL[0], _2=0x0112)
    first, second = rows(ledger)
    assert first.commitment is not None
    assert (first.commitment.failure_reason, first.commit_failures) == (None, 0)
    assert second.commitment is not None
    assert (second.commitment.failure_reason, second.commit_failures) == (0x0112, 1)
    assert second.state.value == "retry"
    assert second.reason == "not committed: 0x0112: no such object instance"


def test_silence_ends_in_sending_again(ledger: Ledger, clock: VirtualClock) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    clock.now += TIMEOUT_S - 1.0
    assert ledger.commitments.expire("pacs", TIMEOUT_S, judge) == 0
    clock.now += 1.0
    assert ledger.commitments.expire("archive", TIMEOUT_S, judge) == 0
    assert ledger.commitments.expire("pacs", TIMEOUT_S, judge) == 1
    assert states(ledger) == ["retry", "retry"]
    assert rows(ledger)[0].reason == "not committed: no answer within 3600 s"


def test_a_late_yes_still_counts(ledger: Ledger, clock: VirtualClock) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    clock.now += TIMEOUT_S
    ledger.commitments.expire("pacs", TIMEOUT_S, judge)
    assert answer(ledger, "2.25.1", ALL[0], _2=0x0112) is AnswerOutcome.TAKEN
    assert states(ledger) == ["committed", "retry"]
    clock.now += 2.0
    assert deliver(ledger) == [ALL[1]]


def test_a_yes_to_an_older_request_counts_while_the_newer_waits(
    ledger: Ledger, clock: VirtualClock
) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    clock.now += TIMEOUT_S
    ledger.commitments.expire("pacs", TIMEOUT_S, judge)
    clock.now += 2.0
    deliver(ledger)
    ask(ledger, "2.25.2")
    assert answer(ledger, "2.25.1", ALL[0], _2=0x0112) is AnswerOutcome.TAKEN
    assert states(ledger) == ["committed", "sent"]  # the older "no" says nothing of the new copy
    assert answer(ledger, "2.25.2", *ALL) is AnswerOutcome.TAKEN
    assert states(ledger) == ["committed", "committed"]


def test_a_yes_to_an_older_request_does_not_undo_a_newer_no(
    ledger: Ledger, clock: VirtualClock
) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    clock.now += TIMEOUT_S
    ledger.commitments.expire("pacs", TIMEOUT_S, judge)
    clock.now += 2.0
    deliver(ledger)
    ask(ledger, "2.25.2")
    answer(ledger, "2.25.2", ALL[0], _2=0x0112)
    answer(ledger, "2.25.1", *ALL)
    assert states(ledger) == ["committed", "retry"]


@pytest.mark.parametrize("uid", ["2.25.999", "2.25.1"])
def test_foreign_and_repeated_answers_change_nothing(ledger: Ledger, uid: str) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    answer(ledger, "2.25.1", *ALL)
    before = (rows(ledger), ledger.events(STUDY), ledger.counts())
    expected = AnswerOutcome.REPEATED if uid == "2.25.1" else AnswerOutcome.UNKNOWN
    assert answer(ledger, uid, _1=0x0112, _2=0x0112) is expected
    assert answer(ledger, uid, *ALL) is expected
    assert (rows(ledger), ledger.events(STUDY), ledger.counts()) == before


def test_objects_that_were_not_asked_for_are_not_committed(ledger: Ledger) -> None:
    deliver(ledger)
    assert ledger.commitments.begin("pacs", "2.25.1", 1) is not None
    answer(ledger, "2.25.1", *ALL, "2.25.4711")
    assert states(ledger) == ["committed", "sent"]


def test_a_refusal_is_asked_again_not_sent_again(ledger: Ledger, clock: VirtualClock) -> None:
    deliver(ledger)
    for attempt in range(1, ATTEMPTS + 1):
        uid = f"2.25.{attempt}"
        assert ledger.commitments.begin("pacs", uid, 100) is not None
        ledger.commitments.refused(uid, "0x0122", True, judge)
        clock.now += 2.0
        assert ledger.claim_delivery("pacs", 60.0) is None
    assert states(ledger) == ["dead", "dead"]
    assert rows(ledger)[0].reason == "commitment can't be asked for: 0x0122"


def test_a_peer_that_is_away_is_asked_again_without_limit(
    ledger: Ledger, clock: VirtualClock
) -> None:
    deliver(ledger)
    for attempt in range(3 * ATTEMPTS):
        uid = f"2.25.{attempt}"
        assert ledger.commitments.begin("pacs", uid, 100) is not None
        ledger.commitments.refused(uid, "no connection", False, judge)
        assert ledger.commitments.begin("pacs", "2.25.99", 100) is None
        clock.now += 1.0
    assert states(ledger) == ["sent", "sent"]
    assert rows(ledger)[0].commit_failures == 0


def test_a_restart_keeps_what_was_asked(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock) as ledger:
        queue(ledger, clock, objects(2))
        deliver(ledger)
        ledger.commitments.begin("pacs", "2.25.1", 1)
        ledger.commitments.accepted("2.25.1")
        ledger.commitments.begin("pacs", "2.25.2", 1)  # killed before the response
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        assert ledger.commitments.recover(["pacs"]) == 1
        assert states(ledger) == ["sent", "sent"]
        commitment = ledger.commitments.begin("pacs", "2.25.3", 100)
        assert commitment is not None
        assert [uid for _, uid in commitment.references] == [ALL[1]]
        assert answer(ledger, "2.25.1", ALL[0]) is AnswerOutcome.TAKEN
        assert answer(ledger, "2.25.2", ALL[1]) is AnswerOutcome.TAKEN  # it had arrived after all
        assert states(ledger) == ["committed", "committed"]


def test_a_destination_that_is_no_longer_asked_owes_nothing(
    path: Path, clock: VirtualClock
) -> None:
    with Ledger.open(path, clock) as ledger:
        queue(ledger, clock, objects(1))
        deliver(ledger)
        ask(ledger, "2.25.1")
    with Ledger.open(path, clock) as ledger:
        ledger.commitments.recover([])
        assert states(ledger) == ["sent"]
        assert ledger.oldest_unfinished() == {}


def test_a_clock_that_was_set_back_does_not_stretch_a_wait(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock) as ledger:
        queue(ledger, clock, objects(2))
        deliver(ledger)
        assert ledger.commitments.begin("pacs", "2.25.1", 1) is not None
        ledger.commitments.refused("2.25.1", "away", False, judge)
        ask(ledger, "2.25.2")
    clock.now -= 1e6
    with Ledger.open(path, clock) as ledger:
        ledger.commitments.recover(["pacs"])
        clock.now += TIMEOUT_S
        assert ledger.commitments.expire("pacs", TIMEOUT_S, judge) == 1
        assert ledger.commitments.begin("pacs", "2.25.3", 1) is not None


def test_two_patients_in_a_study_are_not_sent_again(ledger: Ledger) -> None:
    deliver(ledger)
    ask(ledger, "2.25.1")
    ledger.record_arrival(replace(make_arrival(STUDY, 7), patient_key="bb"))
    answer(ledger, "2.25.1", ALL[0], _2=0x0112)
    assert states(ledger) == ["committed", "dead"]
    assert "more than one patient" in rows(ledger)[1].reason


def test_an_older_ledger_is_migrated_with_its_deliveries(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock) as ledger:
        queue(ledger, clock, objects(2))
        deliver(ledger)
    _downgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert "commitments" not in tables
    with Ledger.open(path, clock) as ledger:
        assert states(ledger) == ["sent", "sent"]
        assert ledger.commitments.begin("pacs", "2.25.1", 100) is None  # sent before: not asked


def _downgrade(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option(
        "script_location",
        str(Path(node.ledger.__file__).parent / "migrations").replace("%", "%%"),
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    engine.dispose()
