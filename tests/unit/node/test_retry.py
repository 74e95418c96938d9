"""Retry decisions, with the arithmetic beside each case."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import BadObjectError, RefusedError, UnreachableError
from node.retry import DELIVERY_POLICY, JOB_POLICY, RetryPolicy, decide, is_permanent

HOUR_S = 3600.0


class _Latest(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize(
    ("attempt", "wait_s"),
    [
        (1, 5.0),  # 5 * 2 ** 0
        (2, 10.0),  # 5 * 2 ** 1
        (8, 640.0),  # 5 * 2 ** 7
        (9, 900.0),  # 5 * 2 ** 8 = 1280, capped
        (100_000, 900.0),
    ],
)
def test_wait_doubles_up_to_the_cap(attempt: int, wait_s: float) -> None:
    decision = decide(
        UnreachableError("No answer."), attempt=attempt, first_attempt_at=0, now=100, rng=_Latest()
    )
    assert decision.retry_at == 100 + wait_s
    assert decision.reason == "No answer."
    assert not decision.gives_up


@pytest.mark.parametrize(
    ("now", "retry_at"),
    [
        (71.9 * HOUR_S, 72 * HOUR_S),  # 360 s to go, 900 s drawn: the last attempt is on time
        (72 * HOUR_S - 1, 72 * HOUR_S),
        (72 * HOUR_S, None),
        (80 * HOUR_S, None),
        (-24 * HOUR_S, -24 * HOUR_S + 900),  # the clock was set back
    ],
)
def test_gives_up_after_a_weekend(now: float, retry_at: float | None) -> None:
    decision = decide(UnreachableError(), attempt=300, first_attempt_at=0, now=now, rng=_Latest())
    assert decision.retry_at == retry_at
    assert decision.gives_up == (retry_at is None)
    assert ("72 hours" in decision.reason) == (retry_at is None)


@pytest.mark.parametrize(("before", "gives_up"), [(0, False), (1, False), (2, True), (3, True)])
def test_third_permanent_refusal_is_the_last(before: int, gives_up: bool) -> None:
    decision = decide(
        RefusedError("Refused: 0xA900."),
        attempt=9,
        first_attempt_at=0,
        now=1,
        rng=_Latest(),
        permanent_failures=before,
    )
    assert decision.gives_up == gives_up


def test_a_job_is_not_repeated_for_a_permanent_error() -> None:
    decision = decide(
        BadObjectError("Too deep."),
        attempt=1,
        first_attempt_at=0,
        now=0,
        rng=_Latest(),
        policy=JOB_POLICY,
    )
    assert decision.gives_up
    assert decision.reason == "Too deep."


def test_attempts_are_counted_where_the_policy_says_so() -> None:
    policy = RetryPolicy(attempts=2)
    decisions = [
        decide(
            UnreachableError(),
            attempt=attempt,
            first_attempt_at=0,
            now=0,
            rng=_Latest(),
            policy=policy,
        )
        for attempt in (1, 2)
    ]
    assert [each.gives_up for each in decisions] == [False, True]


def test_a_foreign_error_is_permanent_and_its_message_stays_inside() -> None:
    error = ValueError("Doe^Jane")
    decision = decide(error, attempt=1, first_attempt_at=0, now=0, rng=_Latest())
    assert is_permanent(error)
    assert decision.reason == "unexpected ValueError"


@settings(max_examples=200, deadline=None)
@given(
    attempt=st.integers(1, 10**6),
    elapsed_s=st.floats(0, 300_000),
    seed=st.integers(0, 2**32),
)
def test_a_retry_is_never_early_and_never_beyond_cap_or_deadline(
    attempt: int, elapsed_s: float, seed: int
) -> None:
    decision = decide(
        UnreachableError(),
        attempt=attempt,
        first_attempt_at=1000.0,
        now=1000.0 + elapsed_s,
        rng=random.Random(seed),
    )
    if decision.retry_at is None:
        assert elapsed_s >= DELIVERY_POLICY.give_up_after_s
    else:
        assert 0 <= decision.retry_at - (1000.0 + elapsed_s) <= DELIVERY_POLICY.max_retry_s
        assert decision.retry_at <= 1000.0 + DELIVERY_POLICY.give_up_after_s
