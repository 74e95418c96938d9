"""Changes to the requests for storage commitment, and to the deliveries that they name.

What is decided about an object that is not committed comes from outside, as a pure function, so
that an answer and its consequences are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import insert, select, text, update

from node.commitment import CommitmentAnswer, is_permanent_reason, reason_words
from node.ledger.deliveries import move_delivery
from node.ledger.recovery import MAX_WAIT_S
from node.ledger.rows import Row
from node.ledger.states import AnswerOutcome, CommitmentState, DeliveryState
from node.ledger.studies import IDENTITY_CONFLICT
from node.ledger.tables import (
    COMMITMENT_OPEN,
    TO_COMMIT,
    commitment_references,
    commitments,
    deliveries,
    results,
    studies,
)
from node.ledger.writer import Transaction
from node.retry import RetryDecision

Result = TypeVar("Result")

_NOT_NAMED = "the answer does not name it"


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request that a destination is to be asked.

    Attributes
    ----------
    references
        SOP Class and SOP Instance UID of each object, as stored.
    """

    transaction_uid: str
    destination: str
    references: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Setback:
    """An object that a destination has, and has not committed.

    Attributes
    ----------
    asked
        Whether the destination was asked; else only the asking failed.
    permanent
        Whether the same would end the same.
    failures
        How many requests for it were in vain before this one.
    since
        Since when it is tried, epoch seconds.
    """

    destination: str
    reason: str
    asked: bool
    permanent: bool
    failures: int
    since: float
    now: float


#: Decides when an object is tried again, or that it is given up.
Judge = Callable[[Setback], RetryDecision]


class Change(Protocol):
    """Runs a change in a transaction of its own."""

    def __call__(self, change: Callable[[Transaction], Result]) -> Result: ...


class CommitmentBook:
    """The ledger's methods about storage commitment (PS3.4 Annex J); thread-safe."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def begin(self, destination: str, transaction_uid: str, limit: int) -> Commitment | None:
        """Write down a request for what a destination has and is due, None when nothing is.

        It is durable before the destination hears of it, so that no answer is one to nothing.
        """
        return self._change(lambda tx: _begin(tx, destination, transaction_uid, limit))

    def accepted(self, transaction_uid: str) -> None:
        """The destination has accepted the request, and owes an answer from now on."""
        self._change(lambda tx: _accepted(tx, transaction_uid))

    def refused(self, transaction_uid: str, reason: str, permanent: bool, judge: Judge) -> None:
        """The destination could not be asked: the objects are asked for again, not sent again."""
        self._change(lambda tx: _refused(tx, transaction_uid, reason, permanent, judge))

    def answered(self, answer: CommitmentAnswer, judge: Judge) -> AnswerOutcome:
        """Record which objects a destination keeps; the others are sent again."""
        return self._change(lambda tx: _answered(tx, answer, judge))

    def expire(self, destination: str, timeout_s: float, judge: Judge) -> int:
        """End requests that wait too long; their objects are sent again. Returns how many."""
        return self._change(lambda tx: _expire(tx, destination, timeout_s, judge))

    def recover(self, wanted: Collection[str]) -> int:
        """Resume after a restart, once; return how many requests are asked again.

        Parameters
        ----------
        wanted
            The destinations that are asked for commitment; others owe no answer any more.
        """
        return self._change(lambda tx: _recover(tx, wanted))


def _begin(
    tx: Transaction, destination: str, transaction_uid: str, limit: int
) -> Commitment | None:
    due = (
        select(deliveries, results.c.sop_class_uid)
        .join(results, results.c.id == deliveries.c.result_id)
        .where(
            text(f"deliveries.{TO_COMMIT}"),
            deliveries.c.destination == destination,
            deliveries.c.commit_due_at <= tx.now,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    rows = tx.connection.execute(due).mappings().all()
    if not rows:
        return None
    added = tx.connection.execute(
        insert(commitments).values(
            transaction_uid=transaction_uid,
            destination=destination,
            state=CommitmentState.ASKING,
            asked_at=tx.now,
            reason="",
        )
    )
    (commitment_id,) = added.inserted_primary_key or (0,)
    for row in rows:
        tx.connection.execute(
            insert(commitment_references).values(commitment_id=commitment_id, delivery_id=row["id"])
        )
        _note(tx, row, commit_due_at=None, commitment_id=commitment_id)
        _tell(tx, row, "commitment asked", f"transaction {transaction_uid}")
    references = tuple((row["sop_class_uid"], row["sop_instance_uid"]) for row in rows)
    return Commitment(transaction_uid, destination, references)


def _accepted(tx: Transaction, transaction_uid: str) -> None:
    # An answer may have come before the response to the request.
    tx.connection.execute(
        update(commitments)
        .where(
            commitments.c.transaction_uid == transaction_uid,
            commitments.c.state == CommitmentState.ASKING,
        )
        .values(state=CommitmentState.ASKED, asked_at=tx.now)
    )


def _refused(
    tx: Transaction, transaction_uid: str, reason: str, permanent: bool, judge: Judge
) -> None:
    commitment = _find(tx, transaction_uid)
    if commitment is None or commitment["state"] != CommitmentState.ASKING:
        return  # It was answered meanwhile.
    _end(tx, commitment, CommitmentState.REFUSED, reason)
    for row in _open_deliveries(tx, commitment):
        failures = row["commit_failures"]
        said = f"commitment can't be asked for: {reason}"
        setback = Setback(
            row["destination"], said, False, permanent, failures, row["sent_at"], tx.now
        )
        decision = judge(setback)
        if decision.retry_at is None:
            _give_up(tx, row, decision.reason)
            continue
        _note(
            tx, row, commit_due_at=decision.retry_at, commit_failures=failures + int(permanent),
            reason=decision.reason,
        )  # fmt: skip
        _tell(tx, row, "commitment not asked", decision.reason)


def _answered(tx: Transaction, answer: CommitmentAnswer, judge: Judge) -> AnswerOutcome:
    commitment = _find(tx, answer.transaction_uid)
    if commitment is None:
        return AnswerOutcome.UNKNOWN
    if commitment["state"] == CommitmentState.ANSWERED:
        return AnswerOutcome.REPEATED
    named = _deliveries(tx, commitment)
    kept = [row for row in named if row["sop_instance_uid"] in answer.committed]
    _end(tx, commitment, CommitmentState.ANSWERED, f"{len(kept)} of {len(named)} objects committed")
    for row in named:
        uid = row["sop_instance_uid"]
        if uid in answer.committed:
            if _counts_late(row, commitment):
                move_delivery(
                    tx, row, DeliveryState.COMMITTED, "", commit_due_at=None, commit_failures=0
                )
            continue
        code = answer.failed.get(uid)
        _remember_reason(tx, commitment, row, code)
        if _is_open(row, commitment):
            reason = _NOT_NAMED if code is None else reason_words(code)
            _send_again(tx, row, reason, code is not None and is_permanent_reason(code), judge)
    return AnswerOutcome.TAKEN


def _expire(tx: Transaction, destination: str, timeout_s: float, judge: Judge) -> int:
    late = select(commitments).where(
        text(f"commitments.{COMMITMENT_OPEN}"),
        commitments.c.destination == destination,
        commitments.c.asked_at <= tx.now - timeout_s,
    )
    rows = tx.connection.execute(late).mappings().all()
    for commitment in rows:
        reason = f"no answer within {timeout_s:g} s"
        _end(tx, commitment, CommitmentState.UNANSWERED, reason)
        for row in _open_deliveries(tx, commitment):
            _send_again(tx, row, reason, False, judge)
    return len(rows)


def _recover(tx: Transaction, wanted: Collection[str]) -> int:
    # A clock that was set back must not stretch a wait.
    tx.connection.execute(
        update(commitments).where(commitments.c.asked_at > tx.now).values(asked_at=tx.now)
    )
    latest = tx.now + MAX_WAIT_S
    tx.connection.execute(
        update(deliveries)
        .where(text(f"deliveries.{TO_COMMIT}"), deliveries.c.commit_due_at > latest)
        .values(commit_due_at=latest)
    )
    again = 0
    pending = select(commitments).where(text(f"commitments.{COMMITMENT_OPEN}"))
    for commitment in tx.connection.execute(pending).mappings().all():
        if commitment["destination"] not in wanted:
            reason = "commitment is no longer asked for"
            _end(tx, commitment, CommitmentState.UNANSWERED, reason)
        elif commitment["state"] == CommitmentState.ASKING:
            reason = "the node was restarted before the request was accepted"
            _end(tx, commitment, CommitmentState.UNANSWERED, reason)
            for row in _open_deliveries(tx, commitment):
                _note(tx, row, commit_due_at=tx.now)
                _tell(tx, row, "commitment not asked", reason)
            again += 1
    return again


def _send_again(tx: Transaction, row: Row, reason: str, permanent: bool, judge: Judge) -> None:
    if _is_in_conflict(tx, row):
        _give_up(tx, row, f"not committed: {reason}; {IDENTITY_CONFLICT}")
        return
    failures = row["commit_failures"]
    said = f"not committed: {reason}"
    decision = judge(Setback(row["destination"], said, True, permanent, failures, tx.now, tx.now))
    if decision.retry_at is None:
        _give_up(tx, row, decision.reason)
        return
    move_delivery(
        tx, row, DeliveryState.RETRY, decision.reason,
        due_at=decision.retry_at, commit_due_at=None, commit_failures=failures + 1,
        attempt=0, first_attempt_at=None, permanent_refusals=0,
    )  # fmt: skip


def _is_in_conflict(tx: Transaction, row: Row) -> bool:
    study = select(studies.c.identity_conflict).where(studies.c.study_uid == row["study_uid"])
    return bool(tx.connection.execute(study).scalar())


def _give_up(tx: Transaction, row: Row, reason: str) -> None:
    move_delivery(tx, row, DeliveryState.DEAD, reason, commit_due_at=None)


def _is_open(row: Row, commitment: Row) -> bool:
    """Whether a delivery waits for this very request."""
    return bool(
        row["state"] == DeliveryState.SENT
        and row["commit_due_at"] is None
        and row["commitment_id"] == commitment["id"]
    )


def _counts_late(row: Row, commitment: Row) -> bool:
    """Whether "committed" still holds: unless a newer request was answered otherwise."""
    return bool(
        row["state"] == DeliveryState.SENT or row["commitment_id"] == commitment["id"]
    ) and (row["state"] != DeliveryState.COMMITTED)


def _find(tx: Transaction, transaction_uid: str) -> Row | None:
    found = tx.connection.execute(
        select(commitments).where(commitments.c.transaction_uid == transaction_uid)
    )
    return found.mappings().first()


def _deliveries(tx: Transaction, commitment: Row) -> list[Row]:
    named = (
        select(deliveries)
        .join(commitment_references, commitment_references.c.delivery_id == deliveries.c.id)
        .where(commitment_references.c.commitment_id == commitment["id"])
        .order_by(deliveries.c.id)
    )
    return list(tx.connection.execute(named).mappings().all())


def _open_deliveries(tx: Transaction, commitment: Row) -> list[Row]:
    return [row for row in _deliveries(tx, commitment) if _is_open(row, commitment)]


def _end(tx: Transaction, commitment: Row, state: CommitmentState, reason: str) -> None:
    tx.connection.execute(
        update(commitments)
        .where(commitments.c.id == commitment["id"])
        .values(state=state, ended_at=tx.now, reason=reason)
    )


def _remember_reason(tx: Transaction, commitment: Row, row: Row, code: int | None) -> None:
    tx.connection.execute(
        update(commitment_references)
        .where(
            commitment_references.c.commitment_id == commitment["id"],
            commitment_references.c.delivery_id == row["id"],
        )
        .values(failure_reason=code)
    )


def _note(tx: Transaction, row: Row, **values: float | int | str | None) -> None:
    """Change what does not concern the delivery's state or who holds it."""
    tx.connection.execute(update(deliveries).where(deliveries.c.id == row["id"]).values(**values))


def _tell(tx: Transaction, row: Row, what: str, detail: str) -> None:
    tx.event(row["study_uid"], f"delivery {row['id']} to {row['destination']}", what, detail)
