"""Changes to studies: arrivals open them, quiet completes them, the operator replays them."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from node.ledger.deliveries import revive_delivery, stop_deliveries
from node.ledger.jobs import add_job, move_instance, move_job, supersede_reports
from node.ledger.records import Arrival
from node.ledger.rows import instance_row
from node.ledger.states import DeliveryState, InstanceState, JobKind, JobState, StudyState
from node.ledger.tables import (
    captures,
    deliveries,
    instances,
    jobs,
    outcomes,
    studies,
    unfinished_job,
)
from node.ledger.writer import Statement, Transaction

IDENTITY_CONFLICT = "identity conflict: instances of more than one patient claim this study"

_STUDY = Statement(
    select(studies.c.patient_key, studies.c.identity_conflict).where(
        studies.c.study_uid == bindparam("uid")
    )
)
_NEW_STUDY = (
    "study_uid", "state", "patient_key", "identity_conflict", "revision", "first_arrival_at",
    "last_arrival_at",
)  # fmt: skip
_ADD_STUDY = Statement(insert(studies), _NEW_STUDY)
_SEE_STUDY = Statement(
    update(studies).where(studies.c.study_uid == bindparam("uid")),
    ("last_arrival_at", "patient_key"),
)
_REOPEN = Statement(
    update(studies)
    .where(studies.c.study_uid == bindparam("uid"), studies.c.state == StudyState.COMPLETE)
    .values(state=StudyState.OPEN, completed_at=None)
)

# `received` without an unfinished job is an analysis that was given up.
_NOTHING_WORDS: dict[str, str] = {
    InstanceState.DECODED: "to which no finding applies",
    InstanceState.QUARANTINED: "quarantined",
    InstanceState.RECEIVED: "whose analysis failed",
}


def note_arrival(tx: Transaction, arrival: Arrival) -> str:
    """Make the study of an arriving instance, or prolong its wait for more.

    Returns
    -------
    The key of the patient whose pairings no longer hold: the study is now known to be theirs, or
    to be claimed by another patient, too. Empty when nothing changed.
    """
    study_uid = arrival.study_instance_uid
    # A result of ours says nothing about the sender's work, nor about whose study it is.
    patient_key = "" if arrival.own_result else arrival.patient_key
    row = tx.run(_STUDY, {"uid": study_uid}).fetchone()
    if row is None:
        first = {
            "study_uid": study_uid,
            "state": StudyState.OPEN,
            "patient_key": patient_key,
            "identity_conflict": False,
            "revision": 0,
            "first_arrival_at": tx.now,
            "last_arrival_at": tx.now,
        }
        tx.run(_ADD_STUDY, first)
        tx.event(study_uid, "study", StudyState.OPEN)
        return ""
    known_key, has_conflict = row
    if not arrival.own_result:
        seen = {
            "uid": study_uid,
            "last_arrival_at": tx.now,
            "patient_key": known_key or patient_key,
        }
        tx.run(_SEE_STUDY, seen)
    mixed = patient_key and known_key and patient_key != known_key
    if mixed and not has_conflict:
        _flag_identity_conflict(tx, study_uid)
        return str(known_key)
    return "" if known_key else patient_key


def _flag_identity_conflict(tx: Transaction, study_uid: str) -> None:
    tx.connection.execute(
        update(studies).where(studies.c.study_uid == study_uid).values(identity_conflict=True)
    )
    tx.event(study_uid, "study", "identity conflict", f"{IDENTITY_CONFLICT}; nothing is sent")
    supersede_reports(tx, study_uid, IDENTITY_CONFLICT)
    stop_deliveries(tx, study_uid, IDENTITY_CONFLICT)


def reopen(tx: Transaction, study_uid: str, why: str) -> None:
    """Open a study again when it is complete; a report that was not finished yet is dropped."""
    reopened = tx.run(_REOPEN, {"uid": study_uid})
    if reopened.rowcount:
        tx.event(study_uid, "study", StudyState.OPEN, why)
        supersede_reports(tx, study_uid, why)


def complete_due_studies(tx: Transaction, quiet_s: float) -> list[str]:
    """Complete the studies that were quiet for long enough and are analysed."""
    analysing = exists().where(
        jobs.c.study_uid == studies.c.study_uid,
        jobs.c.kind == JobKind.ANALYSE,
        unfinished_job(),
    )
    due = (
        tx.connection.execute(
            select(studies)
            .where(
                studies.c.state == StudyState.OPEN,
                studies.c.last_arrival_at <= tx.now - quiet_s,
                ~analysing,
            )
            .order_by(studies.c.last_arrival_at)
        )
        .mappings()
        .all()
    )
    for row in due:
        study_uid = row["study_uid"]
        tx.connection.execute(
            update(studies)
            .where(studies.c.study_uid == study_uid)
            .values(state=StudyState.COMPLETE, completed_at=tx.now)
        )
        tx.event(study_uid, "study", StudyState.COMPLETE, f"quiet for {quiet_s:g} s")
        if row["identity_conflict"]:
            tx.event(study_uid, "study", "no report", IDENTITY_CONFLICT)
        elif _has_news(tx, study_uid):
            add_job(tx, JobKind.REPORT, study_uid, revision=row["revision"] + 1)
        else:
            tx.event(study_uid, "study", "nothing to report", _why_nothing(tx, study_uid))
    return [row["study_uid"] for row in due]


def _has_news(tx: Transaction, study_uid: str) -> bool:
    news = exists().where(
        outcomes.c.study_uid == study_uid,
        outcomes.c.reported_in.is_(None),
        outcomes.c.state.not_in(("not_applicable", "waiting")),
    )
    return bool(tx.connection.execute(select(news)).scalar())


def _why_nothing(tx: Transaction, study_uid: str) -> str:
    reported = exists().where(
        outcomes.c.study_uid == study_uid, outcomes.c.reported_in.is_not(None)
    )
    if tx.connection.execute(select(reported)).scalar():
        return "nothing new since the last report"
    counted = tx.connection.execute(
        select(instances.c.state, func.count())
        .where(instances.c.study_instance_uid == study_uid)
        .group_by(instances.c.state)
        .order_by(instances.c.state)
    )
    by_state = {str(state): int(count) for state, count in counted}
    waiting = tx.connection.execute(
        select(func.count(outcomes.c.instance_id.distinct())).where(
            outcomes.c.study_uid == study_uid, outcomes.c.state == "waiting"
        )
    ).scalar_one()
    if waiting:
        by_state[InstanceState.DECODED] -= waiting
    words = [f"{count} {_NOTHING_WORDS[state]}" for state, count in by_state.items() if count]
    return ", ".join([*words, *([f"{waiting} without a partner yet"] if waiting else [])])


def replay(tx: Transaction, study_uid: str) -> int:
    """Analyse every instance of a study again that was analysed before."""
    analysis = (jobs.c.study_uid == study_uid, jobs.c.kind == JobKind.ANALYSE)
    had_job = exists().where(*analysis, jobs.c.instance_id == instances.c.id)
    has_job = had_job.where(unfinished_job())
    rows = (
        tx.connection.execute(
            select(instances)
            .where(instances.c.study_instance_uid == study_uid, had_job, ~has_job)
            .order_by(instances.c.id)
        )
        .mappings()
        .all()
    )
    if rows:
        reopen(tx, study_uid, "replay")
    for row in rows:
        instance = instance_row(row)
        for table in (outcomes, captures):
            tx.connection.execute(delete(table).where(table.c.instance_id == instance.id))
        move_instance(tx, instance, InstanceState.RECEIVED, detail="replay")
        add_job(tx, JobKind.ANALYSE, study_uid, instance_id=instance.id)
    return len(rows)


def retry_dead(tx: Transaction, study_uid: str | None) -> int:
    """Try again what was given up: deliveries, reports, analyses; not what is quarantined."""
    return _revive_deliveries(tx, study_uid) + _revive_jobs(tx, study_uid)


def _revive_deliveries(tx: Transaction, study_uid: str | None) -> int:
    query = (
        select(deliveries)
        .join(studies, studies.c.study_uid == deliveries.c.study_uid)
        .where(deliveries.c.state == DeliveryState.DEAD, studies.c.identity_conflict.is_(False))
        .order_by(deliveries.c.id)
    )
    if study_uid is not None:
        query = query.where(deliveries.c.study_uid == study_uid)
    rows = tx.connection.execute(query).mappings().all()
    for row in rows:
        revive_delivery(tx, row, "retry on request")
    return len(rows)


def _revive_jobs(tx: Transaction, study_uid: str | None) -> int:
    newer = jobs.alias("newer")
    # Only the last job counts: of an instance, or of the study's reports.
    replaced = exists().where(
        newer.c.study_uid == jobs.c.study_uid,
        newer.c.kind == jobs.c.kind,
        newer.c.instance_id.is_not_distinct_from(jobs.c.instance_id),
        newer.c.id > jobs.c.id,
    )
    query = (
        select(jobs)
        .join(studies, studies.c.study_uid == jobs.c.study_uid)
        .outerjoin(instances, instances.c.id == jobs.c.instance_id)
        .where(
            jobs.c.state == JobState.FAILED,
            ~replaced,
            (instances.c.state == InstanceState.RECEIVED)
            | (
                (jobs.c.kind == JobKind.REPORT)
                & (studies.c.state == StudyState.COMPLETE)
                & studies.c.identity_conflict.is_(False)
            ),
        )
        .order_by(jobs.c.id)
    )
    if study_uid is not None:
        query = query.where(jobs.c.study_uid == study_uid)
    rows = tx.connection.execute(query).mappings().all()
    for row in rows:
        if row["kind"] == JobKind.ANALYSE:
            reopen(tx, row["study_uid"], "an analysis is tried again")
    reopened = {row["study_uid"] for row in rows if row["kind"] == JobKind.ANALYSE}
    revived = [
        row for row in rows if row["kind"] == JobKind.ANALYSE or row["study_uid"] not in reopened
    ]
    for row in revived:
        move_job(
            tx,
            row,
            JobState.WAITING,
            "retry on request",
            reason="",
            attempt=0,
            lost_leases=0,
            first_attempt_at=None,
            due_at=tx.now,
        )
    return len(revived)
