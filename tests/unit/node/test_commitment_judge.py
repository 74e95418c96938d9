"""Objects that are not committed are tried again, for a while."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from node.commitment_judge import CommitmentJudge
from node.ledger.commitments import Setback
from node.retry import RetryPolicy

NOW = 1000.0
POLICY = RetryPolicy(
    first_retry_s=10.0, max_retry_s=25.0, give_up_after_s=500.0, permanent_failures=2, attempts=3
)
NOT_KEPT = Setback("pacs", "not committed", True, False, 0, NOW, NOW)
NOT_ASKED = replace(NOT_KEPT, reason="away", asked=False)


def judge() -> CommitmentJudge:
    return CommitmentJudge({"pacs": POLICY}, random.Random(1))


@pytest.mark.parametrize(
    ("setback", "longest_s"),
    [
        (NOT_KEPT, 10.0),
        (replace(NOT_KEPT, failures=1), 20.0),
        (replace(NOT_KEPT, permanent=True), 10.0),
        (replace(NOT_ASKED, failures=2), 25.0),  # only its time is limited
        (replace(NOT_ASKED, since=NOW - 499.0), 1.0),
        (replace(NOT_KEPT, destination="unknown", failures=5), 160.0),
    ],
)
def test_again(setback: Setback, longest_s: float) -> None:
    for _ in range(20):
        at = judge()(setback).retry_at
        assert at is not None
        assert NOW <= at <= NOW + longest_s


@pytest.mark.parametrize(
    ("setback", "reason"),
    [
        (replace(NOT_KEPT, failures=2), "not committed (attempt 3 was the last)"),
        (replace(NOT_KEPT, permanent=True, failures=1), "not committed (2 times)"),
        (replace(NOT_ASKED, permanent=True, failures=1), "away (2 times)"),
        (replace(NOT_ASKED, since=NOW - 500.0), "away (tried for 0.138889 hours)"),
    ],
)
def test_given_up(setback: Setback, reason: str) -> None:
    decision = judge()(setback)
    assert (decision.retry_at, decision.reason) == (None, reason)
