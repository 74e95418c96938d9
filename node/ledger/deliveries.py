"""Changes to the outbox: reports put objects in, senders take them and tell what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, exists, insert, select, text, update

from node.errors import InvalidResultError, LeaseLostError
from node.ledger.jobs import finish_report_job
from node.ledger.records import Delivery, Job, StoredObject
from node.ledger.rows import Row, object_values, stored_object
from node.ledger.states import DeliveryState
from node.ledger.tables import CLAIMABLE, deliveries, outcomes, results, studies
from node.ledger.writer import Transaction

_MAY_HAVE_ARRIVED = "whether the object arrived is unknown; the same once more does no harm"


def finish_report(
    tx: Transaction, job: Job, objects: Sequence[StoredObject], destinations: Sequence[str]
) -> None:
    """Store a study's results and put them into the outbox."""
    _refuse_twins(objects)
    finish_report_job(tx, job)
    tx.connection.execute(
        update(studies).where(studies.c.study_uid == job.study_uid).values(revision=job.revision)
    )
    tx.connection.execute(
        update(outcomes)
        .where(outcomes.c.study_uid == job.study_uid, outcomes.c.state != "waiting")
        .values(reported_in=job.revision)
    )
    tx.event(
        job.study_uid,
        "study",
        "reported",
        f"revision {job.revision}: {len(objects)} objects for {len(destinations)} destinations",
    )
    for each in objects:
        added = tx.connection.execute(
            insert(results).values(
                study_uid=job.study_uid,
                revision=job.revision,
                created_at=tx.now,
                **object_values(each),
            )
        )
        (result_id,) = added.inserted_primary_key or (0,)
        for destination in destinations:
            _queue(tx, job.study_uid, result_id, each, destination)


def _refuse_twins(objects: Sequence[StoredObject]) -> None:
    reported = [each.finding for each in objects if each.kind == "sr"]
    if len(set(reported)) < len(reported):
        raise InvalidResultError("There are two reports of one finding in one revision.")
    if len({each.sop_instance_uid for each in objects}) < len(objects):
        raise InvalidResultError("Two objects of one revision have the same SOP Instance UID.")


def _queue(
    tx: Transaction, study_uid: str, result_id: int, stored: StoredObject, destination: str
) -> None:
    row = (
        tx.connection.execute(
            select(deliveries).where(
                deliveries.c.sop_instance_uid == stored.sop_instance_uid,
                deliveries.c.destination == destination,
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        added = tx.connection.execute(
            insert(deliveries).values(
                study_uid=study_uid,
                result_id=result_id,
                sop_instance_uid=stored.sop_instance_uid,
                destination=destination,
                state=DeliveryState.WAITING,
                attempt=0,
                fence=0,
                due_at=tx.now,
                created_at=tx.now,
                permanent_refusals=0,
                reason="",
            )
        )
        (delivery_id,) = added.inserted_primary_key or (0,)
        tx.event(
            study_uid,
            _subject(delivery_id, destination),
            DeliveryState.WAITING,
            f"{stored.kind} of {stored.finding}",
        )
        return
    subject = _subject(row["id"], destination)
    if row["state"] in (DeliveryState.SENT, DeliveryState.COMMITTED):
        # A derived UID stands for the same content: what is there must not be sent again, changed.
        tx.event(study_uid, subject, "unchanged", "the destination has this object already")
        return
    tx.connection.execute(
        update(deliveries).where(deliveries.c.id == row["id"]).values(result_id=result_id)
    )
    if row["state"] == DeliveryState.DEAD:
        revive_delivery(tx, row, "it is part of a new revision")
    else:
        tx.event(study_uid, subject, "unchanged", "it is queued already")


def claim_delivery(tx: Transaction, destination: str, lease_s: float) -> Delivery | None:
    """Give the oldest object that is due at a destination to a sender, in order in each study."""
    earlier = deliveries.alias("earlier")
    blocked = exists().where(
        earlier.c.study_uid == deliveries.c.study_uid,
        earlier.c.destination == deliveries.c.destination,
        earlier.c.id < deliveries.c.id,
        text(f"earlier.{CLAIMABLE}"),
    )
    row = (
        tx.connection.execute(
            select(deliveries)
            .where(
                text(f"deliveries.{CLAIMABLE}"),
                deliveries.c.destination == destination,
                deliveries.c.due_at <= tx.now,
                deliveries.c.lease_until.is_(None),
                ~blocked,
            )
            .order_by(deliveries.c.id)
            .limit(1)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    stored = tx.connection.execute(select(results).where(results.c.id == row["result_id"]))
    delivery = Delivery(
        id=row["id"],
        destination=destination,
        object=stored_object(stored.mappings().one()),
        attempt=row["attempt"] + 1,
        fence=row["fence"] + 1,
        first_attempt_at=tx.now if row["first_attempt_at"] is None else row["first_attempt_at"],
        permanent_refusals=row["permanent_refusals"],
    )
    tx.connection.execute(
        update(deliveries)
        .where(deliveries.c.id == row["id"])
        .values(
            attempt=delivery.attempt,
            fence=delivery.fence,
            first_attempt_at=delivery.first_attempt_at,
            lease_until=tx.now + lease_s,
        )
    )
    subject = _subject(delivery.id, destination)
    tx.event(row["study_uid"], subject, "sending", f"attempt {delivery.attempt}")
    return delivery


def delivery_sent(
    tx: Transaction, delivery: Delivery, note: str, commit_wait_s: float | None
) -> None:
    """The destination has answered success; it is asked for commitment after a wait, or never."""
    commit_due_at = None if commit_wait_s is None else tx.now + commit_wait_s
    move_delivery(
        tx, _held(tx, delivery), DeliveryState.SENT, note,
        sent_at=tx.now, commit_due_at=commit_due_at,
    )  # fmt: skip


def delivery_retry(
    tx: Transaction, delivery: Delivery, reason: str, at: float, permanent: bool
) -> None:
    """The attempt failed; try again at a time."""
    row = _held(tx, delivery)
    refusals = row["permanent_refusals"] + (1 if permanent else 0)
    move_delivery(tx, row, DeliveryState.RETRY, reason, due_at=at, permanent_refusals=refusals)


def delivery_dead(tx: Transaction, delivery: Delivery, reason: str) -> None:
    """Give the delivery up."""
    move_delivery(tx, _held(tx, delivery), DeliveryState.DEAD, reason)


def stop_deliveries(tx: Transaction, study_uid: str, why: str) -> None:
    """Give up whatever of a study was not sent yet."""
    unsent = and_(deliveries.c.study_uid == study_uid, text(f"deliveries.{CLAIMABLE}"))
    for row in tx.connection.execute(select(deliveries).where(unsent)).mappings().all():
        move_delivery(tx, row, DeliveryState.DEAD, why)


def revive_delivery(tx: Transaction, row: Row, why: str) -> None:
    """Send a dead delivery again, with all its attempts before it."""
    move_delivery(
        tx,
        row,
        DeliveryState.WAITING,
        why,
        attempt=0,
        first_attempt_at=None,
        permanent_refusals=0,
        commit_failures=0,
        due_at=tx.now,
    )


def requeue_deliveries(tx: Transaction, expired_at: float | None, why: str) -> int:
    """Take deliveries away from senders that are gone; None for every lease."""
    gone = and_(text(f"deliveries.{CLAIMABLE}"), deliveries.c.lease_until.is_not(None))
    if expired_at is not None:
        gone = and_(gone, deliveries.c.lease_until < expired_at)
    rows = tx.connection.execute(select(deliveries).where(gone)).mappings().all()
    for row in rows:
        told = f"attempt {row['attempt']} was cut off: {why}; {_MAY_HAVE_ARRIVED}"
        move_delivery(tx, row, DeliveryState.RETRY, told, due_at=tx.now)
    return len(rows)


def move_delivery(
    tx: Transaction, row: Row, state: DeliveryState, reason: str, **values: Any
) -> None:
    """Enter a state; whoever held the delivery has lost it."""
    tx.connection.execute(
        update(deliveries)
        .where(deliveries.c.id == row["id"])
        .values(state=state, reason=reason, lease_until=None, fence=row["fence"] + 1, **values)
    )
    tx.event(row["study_uid"], _subject(row["id"], row["destination"]), state, reason)


def _subject(delivery_id: int, destination: str) -> str:
    return f"delivery {delivery_id} to {destination}"


def _held(tx: Transaction, delivery: Delivery) -> Row:
    row = (
        tx.connection.execute(
            select(deliveries).where(
                deliveries.c.id == delivery.id,
                deliveries.c.fence == delivery.fence,
                deliveries.c.lease_until.is_not(None),
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        raise LeaseLostError
    return row
