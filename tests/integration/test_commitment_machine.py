"""Any order of requests, answers, silence and restarts: no commitment is lost or invented."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.commitment import CommitmentAnswer
from node.ledger.ledger import Ledger
from node.ledger.states import AnswerOutcome
from tests.commitment_outbox import ATTEMPTS, STUDY, deliver, judge, objects, queue, rows

TIMEOUT_S = 3600.0


class VirtualClock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class CommitmentMachine(RuleBasedStateMachine):
    """One destination that takes, forgets, answers, repeats itself and lies about others."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "ledger.sqlite"
        self.clock = VirtualClock()
        self.ledger = Ledger.open(self._path, self.clock)
        queue(self.ledger, self.clock, objects(3))
        self.asked: dict[str, tuple[str, ...]] = {}
        self.confirmed: set[str] = set()
        self.was_committed: set[str] = set()
        self.answered: set[str] = set()

    def teardown(self) -> None:
        self.ledger.close()
        self._folder.cleanup()

    @rule(seconds=st.sampled_from([0.5, 5.0, TIMEOUT_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(wait_s=st.sampled_from([0.0, 1.0]))
    def send(self, wait_s: float) -> None:
        sent = deliver(self.ledger, wait_s)
        assert not set(sent) & self.was_committed

    @rule(limit=st.integers(1, 3), accepted=st.booleans())
    def begin(self, limit: int, accepted: bool) -> None:
        uid = f"2.25.{len(self.asked) + 1}"
        commitment = self.ledger.commitments.begin("pacs", uid, limit)
        if commitment is None:
            return
        named = tuple(instance for _, instance in commitment.references)
        assert len(named) <= limit
        assert not set(named) & self.was_committed
        self.asked[uid] = named
        if accepted:
            self.ledger.commitments.accepted(uid)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), permanent=st.booleans())
    def refused(self, data: st.DataObject, permanent: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.asked)))
        self.ledger.commitments.refused(uid, "no", permanent, judge)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.asked)))
        every = [each.sop_instance_uid for each in objects(3)]
        committed = data.draw(st.sets(st.sampled_from(every)))
        failed = data.draw(st.sets(st.sampled_from(every))) - committed
        said = CommitmentAnswer(uid, frozenset(committed), dict.fromkeys(failed, 0x0112))
        outcome = self.ledger.commitments.answered(said, judge)
        assert (outcome is AnswerOutcome.REPEATED) == (uid in self.answered)
        if outcome is AnswerOutcome.TAKEN:
            self.answered.add(uid)
            self.confirmed |= committed & set(self.asked[uid])

    @rule()
    def foreign_answer(self) -> None:
        before = (rows(self.ledger), self.ledger.events(STUDY))
        every = frozenset(each.sop_instance_uid for each in objects(3))
        said = CommitmentAnswer("2.25.4711", every, {})
        assert self.ledger.commitments.answered(said, judge) is AnswerOutcome.UNKNOWN
        assert (rows(self.ledger), self.ledger.events(STUDY)) == before

    @rule()
    def expire(self) -> None:
        self.ledger.commitments.expire("pacs", TIMEOUT_S, judge)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self._path, self.clock)
        self.ledger.recover()
        self.ledger.commitments.recover(["pacs"])

    @rule()
    def killed_before_the_response(self) -> None:
        self.send(0.0)
        self.begin(3, accepted=False)
        self.restart()

    @rule()
    def retry_dead(self) -> None:
        self.ledger.retry_dead()

    @invariant()
    def only_what_was_confirmed_is_committed_and_stays_so(self) -> None:
        committed = {
            each.object.sop_instance_uid
            for each in rows(self.ledger)
            if each.state.value == "committed"
        }
        assert committed <= self.confirmed
        assert self.was_committed <= committed
        self.was_committed = committed

    @invariant()
    def whatever_was_sent_is_due_or_waits_for_an_answer(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            lost = connection.execute(
                "SELECT d.id FROM deliveries d LEFT JOIN commitments c ON c.id = d.commitment_id"
                " WHERE d.state = 'sent' AND d.commit_due_at IS NULL"
                " AND (c.state IS NULL OR c.state NOT IN ('asking', 'asked'))"
            ).fetchall()
            doubly = connection.execute(
                "SELECT id FROM deliveries WHERE state != 'sent' AND commit_due_at IS NOT NULL"
            ).fetchall()
        assert lost == []
        assert doubly == []

    @invariant()
    def requests_in_vain_are_counted_and_limited(self) -> None:
        for each in rows(self.ledger):
            assert each.commit_failures < ATTEMPTS

    @invariant()
    def events_tell_every_state(self) -> None:
        for each in rows(self.ledger):
            subject = f"delivery {each.id} to pacs"
            what = [
                event.what
                for event in self.ledger.events(STUDY)
                if event.subject == subject and not event.what.startswith("commitment")
            ]
            assert what[-1] == each.state.value


def test_no_order_of_answers_loses_or_invents_a_commitment() -> None:
    run_state_machine_as_test(
        CommitmentMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
