"""The change that an arriving instance makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from sqlalchemy import bindparam, insert, select

from node.ledger.jobs import add_job
from node.ledger.pairings import pair_patient
from node.ledger.records import ANY_FINDING, Arrival
from node.ledger.states import ArrivalOutcome, InstanceState, JobKind
from node.ledger.studies import note_arrival, reopen
from node.ledger.tables import instances, outcomes
from node.ledger.writer import Statement, Transaction
from node.pairing import PairingRule

CONFLICT = "an earlier instance has the same SOP Instance UID and other bytes"
OWN_RESULT = "a result of this node"

_KNOWN = Statement(
    select(instances.c.id, instances.c.sha256, instances.c.study_instance_uid).where(
        instances.c.sop_instance_uid == bindparam("uid")
    )
)
#: The patient is the study's.
_OF_ARRIVAL = tuple(each.name for each in fields(Arrival) if each.name != "patient_key")
_ADD_INSTANCE = Statement(insert(instances), [c.name for c in instances.c if c.name != "id"])


def change_of(
    arrival: Arrival, quarantine_reason: str | None, rule: PairingRule
) -> Callable[[Transaction], ArrivalOutcome]:
    """Make the change for the writer."""
    return lambda tx: record_arrival(tx, arrival, quarantine_reason, rule)


def record_arrival(
    tx: Transaction, arrival: Arrival, quarantine_reason: str | None, rule: PairingRule
) -> ArrivalOutcome:
    """Store an instance, make its study, and queue its analysis when there is one to do."""
    known = tx.run(_KNOWN, {"uid": arrival.sop_instance_uid}).fetchall()
    for instance_id, sha256, study_uid in known:
        if sha256 == arrival.sha256:
            tx.event(study_uid, f"instance {instance_id}", "duplicate", _sender(arrival))
            return ArrivalOutcome.DUPLICATE
    study_uid = arrival.study_instance_uid
    unsettled = note_arrival(tx, arrival)
    if unsettled:
        pair_patient(tx, rule, unsettled)
    reason = quarantine_reason or (CONFLICT if known else "")
    instance_id = _add_instance(tx, arrival, reason, conflict=bool(known))
    if known:
        first = ", ".join(f"instance {known_id}" for known_id, *_ in known)
        tx.event(study_uid, f"instance {instance_id}", "conflict", f"{CONFLICT}: {first}")
        return ArrivalOutcome.CONFLICT
    if arrival.own_result and not reason:
        tx.connection.execute(
            insert(outcomes).values(
                instance_id=instance_id,
                study_uid=study_uid,
                finding=ANY_FINDING,
                state="not_applicable",
                reason=OWN_RESULT,
                sort_key=0.0,
            )
        )
    elif not reason:
        reopen(tx, study_uid, f"instance {instance_id} arrived late")
        add_job(tx, JobKind.ANALYSE, study_uid, instance_id=instance_id)
    return ArrivalOutcome.STORED


def _add_instance(tx: Transaction, arrival: Arrival, reason: str, *, conflict: bool) -> int:
    if reason:
        state = InstanceState.QUARANTINED
    else:
        state = InstanceState.DECODED if arrival.own_result else InstanceState.RECEIVED
    values = {name: getattr(arrival, name) for name in _OF_ARRIVAL}
    values |= {"conflict": conflict, "state": state, "reason": reason, "received_at": tx.now}
    instance_id = tx.run(_ADD_INSTANCE, values).lastrowid or 0
    subject = f"instance {instance_id}"
    tx.event(arrival.study_instance_uid, subject, InstanceState.RECEIVED, _sender(arrival))
    if state != InstanceState.RECEIVED:
        tx.event(arrival.study_instance_uid, subject, state, reason or OWN_RESULT)
    return instance_id


def _sender(arrival: Arrival) -> str:
    return f"{arrival.size_bytes} bytes from {arrival.calling_ae_title}"
