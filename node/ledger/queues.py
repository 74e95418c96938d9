"""How long what waits in the ledger has waited, and how each destination does."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, select, text

from node.ledger.states import DeliveryState, JobKind, JobState
from node.ledger.tables import COMMITMENT_OPEN, commitments, deliveries, jobs

_JOB_UNFINISHED = (JobState.WAITING, JobState.RUNNING, JobState.RETRY)
_DELIVERY_UNFINISHED = (DeliveryState.WAITING, DeliveryState.RETRY)


@dataclass(frozen=True, slots=True)
class DestinationQueue:
    """How one destination does.

    Attributes
    ----------
    waiting, sent, dead
        How many objects it still has to get, has got, and was given up for.
    oldest_at
        Since when the oldest waiting object waits; None when nothing waits.
    last_problem
        The last answer or error of a delivery in trouble, else empty.
    """

    destination: str
    waiting: int
    sent: int
    dead: int
    oldest_at: float | None
    last_problem: str


def oldest_unfinished(connection: Connection) -> dict[str, float]:
    """Since when the oldest unfinished item of each queue waits.

    Returns
    -------
    Epoch seconds by queue: ``analyse``, ``report``, ``delivery to pacs``,
    ``commitment by pacs``; empty queues are absent.
    """
    by_kind = (
        select(jobs.c.kind, func.min(jobs.c.created_at))
        .where(jobs.c.state.in_(_JOB_UNFINISHED))
        .group_by(jobs.c.kind)
    )
    oldest = {JobKind(kind).value: since for kind, since in connection.execute(by_kind)}
    by_destination = (
        select(deliveries.c.destination, func.min(deliveries.c.created_at))
        .where(deliveries.c.state.in_(_DELIVERY_UNFINISHED))
        .group_by(deliveries.c.destination)
    )
    for destination, since in connection.execute(by_destination):
        oldest[f"delivery to {destination}"] = since
    asked = (
        select(commitments.c.destination, func.min(commitments.c.asked_at))
        .where(text(f"commitments.{COMMITMENT_OPEN}"))
        .group_by(commitments.c.destination)
    )
    for destination, since in connection.execute(asked):
        oldest[f"commitment by {destination}"] = since
    return oldest


def destination_queues(connection: Connection) -> list[DestinationQueue]:
    """What each destination that ever got something still has to get, by name."""
    unfinished = deliveries.c.state.in_(_DELIVERY_UNFINISHED)
    ended = deliveries.c.state.in_((DeliveryState.SENT, DeliveryState.COMMITTED))
    dead = deliveries.c.state == DeliveryState.DEAD
    rows = connection.execute(
        select(
            deliveries.c.destination,
            func.sum(case((unfinished, 1), else_=0)),
            func.sum(case((ended, 1), else_=0)),
            func.sum(case((dead, 1), else_=0)),
            func.min(case((unfinished, deliveries.c.created_at), else_=None)),
        )
        .group_by(deliveries.c.destination)
        .order_by(deliveries.c.destination)
    )
    return [
        DestinationQueue(name, waiting, sent, gone, oldest, _last_problem(connection, name))
        for name, waiting, sent, gone, oldest in rows.all()
    ]


def _last_problem(connection: Connection, destination: str) -> str:
    in_trouble = and_(
        deliveries.c.destination == destination,
        deliveries.c.state.in_((DeliveryState.RETRY, DeliveryState.DEAD)),
    )
    query = select(deliveries.c.reason).where(in_trouble).order_by(deliveries.c.due_at.desc())
    return connection.execute(query.limit(1)).scalar() or ""
