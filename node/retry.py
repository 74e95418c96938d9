"""Decides after a failed attempt: try again at a time, or give up."""

from __future__ import annotations

import random
from dataclasses import dataclass

from node.errors import CardionodeError, TransientError

# 2 to this power is beyond every cap; more would overflow a float.
_MAX_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient to be.

    Attributes
    ----------
    first_retry_s, max_retry_s
        The wait is drawn from 0 to a limit that starts at the first, doubles with every attempt
        and ends at the second ("full jitter": senders that failed together come back apart).
    give_up_after_s
        Time since the first attempt after which no other follows.
    permanent_failures
        Failures that will repeat, after which no other attempt follows.
    attempts
        Attempts in all, None for no limit.
    """

    first_retry_s: float = 5.0
    max_retry_s: float = 900.0
    give_up_after_s: float = 259_200.0
    permanent_failures: int = 3
    attempts: int | None = None


#: For deliveries: a destination may be away for a weekend.
DELIVERY_POLICY = RetryPolicy()

#: For jobs: a study's report waits for them, so they end within minutes.
JOB_POLICY = RetryPolicy(
    first_retry_s=2.0, max_retry_s=60.0, give_up_after_s=900.0, permanent_failures=1, attempts=5
)


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What follows a failed attempt.

    Attributes
    ----------
    retry_at
        Time of the next attempt in epoch seconds, None to give up.
    reason
        A sentence for people.
    """

    retry_at: float | None
    reason: str

    @property
    def gives_up(self) -> bool:
        """Whether no attempt follows."""
        return self.retry_at is None


def is_permanent(error: BaseException) -> bool:
    """Whether the same attempt would fail again; errors that are not ours are bugs, and would."""
    return not isinstance(error, TransientError)


def decide(
    error: BaseException,
    *,
    attempt: int,
    first_attempt_at: float,
    now: float,
    rng: random.Random,
    policy: RetryPolicy = DELIVERY_POLICY,
    permanent_failures: int = 0,
) -> RetryDecision:
    """Decide what follows an attempt that failed.

    Parameters
    ----------
    error
        What ended the attempt; only its class and the message of our own errors are used.
    attempt
        Number of the attempt, from 1.
    first_attempt_at, now
        Epoch seconds.
    permanent_failures
        Permanent failures before this one.
    """
    reason = _describe(error)
    if is_permanent(error) and permanent_failures + 1 >= policy.permanent_failures:
        times = permanent_failures + 1
        return RetryDecision(None, reason if times == 1 else f"{reason} ({times} times)")
    if policy.attempts is not None and attempt >= policy.attempts:
        return RetryDecision(None, f"{reason} (attempt {attempt} was the last)")
    deadline = first_attempt_at + policy.give_up_after_s
    if now >= deadline:
        hours = policy.give_up_after_s / 3600
        return RetryDecision(None, f"{reason} (tried for {hours:g} hours)")
    limit_s = min(
        policy.max_retry_s, policy.first_retry_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS)
    )
    return RetryDecision(min(now + rng.uniform(0.0, limit_s), deadline), reason)


def _describe(error: BaseException) -> str:
    # Foreign messages may repeat values of the object, which are the patient's.
    if isinstance(error, CardionodeError):
        return str(error)
    return f"unexpected {type(error).__name__}"
