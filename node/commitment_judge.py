"""Decides what follows when a destination has not committed an object."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from node.errors import RefusedError, UnreachableError
from node.ledger.commitments import Setback
from node.retry import DELIVERY_POLICY, RetryDecision, RetryPolicy, decide


class CommitmentJudge:
    """The retry policy of deliveries, with a limit of its own for objects that are sent again.

    Parameters
    ----------
    policies
        By destination; `attempts` limits the requests that end without commitment. Asking again
        when only the asking failed is limited by time, and by refusals for good.
    """

    def __init__(
        self, policies: Mapping[str, RetryPolicy], rng: random.Random | None = None
    ) -> None:
        self._policies = dict(policies)
        self._rng = rng if rng is not None else random.Random()

    def __call__(self, setback: Setback) -> RetryDecision:
        """Decide; called inside of the ledger's transaction."""
        policy = self._policies.get(setback.destination, DELIVERY_POLICY)
        if not setback.asked:
            policy = replace(policy, attempts=None)
        reason = setback.reason
        return decide(
            RefusedError(reason) if setback.permanent else UnreachableError(reason),
            attempt=setback.failures + 1,
            first_attempt_at=setback.since,
            now=setback.now,
            rng=self._rng,
            policy=policy,
            permanent_failures=setback.failures,
        )
