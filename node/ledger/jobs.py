"""Changes to jobs: claim, keep, finish, fail; each guarded by the job's fence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, insert, select, text, update

from node.errors import LeaseLostError
from node.facts import is_cardiac_class
from node.ledger.records import (
    ANY_FINDING,
    FindingOutcome,
    InstanceRow,
    Job,
    OutcomeState,
    StoredObject,
)
from node.ledger.rows import Row, instance_row, object_values
from node.ledger.states import InstanceState, JobKind, JobState
from node.ledger.tables import (
    CLAIMABLE,
    JOB_UNFINISHED,
    captures,
    instances,
    jobs,
    outcomes,
    unfinished_job,
)
from node.ledger.writer import Statement, Transaction

#: A job whose worker died this often takes its worker down; it is given up.
MAX_LOST_LEASES = 5

# INDEXED BY: without it SQLite sorts the whole backlog for every claim.
_NEXT_JOB = text(
    f"""
    SELECT * FROM jobs INDEXED BY ix_jobs_claimable
    WHERE {CLAIMABLE} AND due_at <= :now AND (
        kind = 'analyse' OR NOT EXISTS (
            SELECT 1 FROM jobs AS other
            WHERE other.study_uid = jobs.study_uid
            AND other.kind = 'analyse' AND other.{JOB_UNFINISHED}
        )
    )
    ORDER BY id LIMIT 1
    """
)

_NEW_JOB = (
    "kind", "study_uid", "instance_id", "revision", "state", "attempt", "lost_leases", "fence",
    "due_at", "created_at", "reason",
)  # fmt: skip
_ADD_JOB = Statement(insert(jobs), _NEW_JOB)


def add_job(
    tx: Transaction,
    kind: JobKind,
    study_uid: str,
    *,
    instance_id: int | None = None,
    revision: int = 0,
) -> None:
    """Insert a waiting job."""
    values = {
        "kind": kind,
        "study_uid": study_uid,
        "instance_id": instance_id,
        "revision": revision,
        "state": JobState.WAITING,
        "attempt": 0,
        "lost_leases": 0,
        "fence": 0,
        "due_at": tx.now,
        "created_at": tx.now,
        "reason": "",
    }
    job_id = tx.run(_ADD_JOB, values).lastrowid or 0
    about = f"revision {revision}" if instance_id is None else f"instance {instance_id}"
    tx.event(study_uid, _subject(kind, job_id), JobState.WAITING, about)


def claim_job(tx: Transaction, worker: str, lease_s: float) -> Job | None:
    """Give the oldest job that is due to a worker; a report only when its study is analysed."""
    row = tx.connection.execute(_NEXT_JOB, {"now": tx.now}).mappings().first()
    if row is None:
        return None
    job = Job(
        id=row["id"],
        kind=JobKind(row["kind"]),
        study_uid=row["study_uid"],
        instance=_instance(tx, row["instance_id"]),
        revision=row["revision"],
        attempt=row["attempt"] + 1,
        fence=row["fence"] + 1,
        created_at=row["created_at"],
        first_attempt_at=tx.now if row["first_attempt_at"] is None else row["first_attempt_at"],
    )
    move_job(
        tx,
        row,
        JobState.RUNNING,
        f"attempt {job.attempt} by {worker}",
        reason="",
        attempt=job.attempt,
        fence=job.fence,
        worker=worker,
        lease_until=tx.now + lease_s,
        first_attempt_at=job.first_attempt_at,
    )
    return job


def heartbeat(tx: Transaction, job: Job, lease_s: float) -> None:
    """Extend a lease."""
    _held(tx, job)
    tx.connection.execute(
        update(jobs).where(jobs.c.id == job.id).values(lease_until=tx.now + lease_s)
    )


def finish_analysis(
    tx: Transaction,
    job: Job,
    found: Sequence[FindingOutcome],
    made: Sequence[StoredObject],
) -> None:
    """Store what the findings made of an instance."""
    row = _held(tx, job)
    instance = _analysed_instance(job)
    whose = {"instance_id": instance.id, "study_uid": job.study_uid}
    for table in (outcomes, captures):
        tx.connection.execute(delete(table).where(table.c.instance_id == instance.id))
    if found:
        tx.connection.execute(insert(outcomes), [{**whose, **_values(each)} for each in found])
    if made:
        tx.connection.execute(insert(captures), [{**whose, **object_values(each)} for each in made])
    counted = ", ".join(f"{each.finding}: {each.state}" for each in found) or "no finding"
    move_instance(tx, instance, InstanceState.DECODED, detail=counted)
    applies = any(each.state != "not_applicable" for each in found)
    move_job(tx, row, JobState.DONE if applies else JobState.NOT_APPLICABLE, counted)


def quarantine(tx: Transaction, job: Job, reason: str) -> None:
    """Put the job's instance aside for good."""
    row = _held(tx, job)
    instance = _analysed_instance(job)
    move_instance(tx, instance, InstanceState.QUARANTINED, reason=reason, detail=reason)
    _tell_failure(tx, instance, reason)
    move_job(tx, row, JobState.FAILED, reason, reason=reason)


def fail_job(tx: Transaction, job: Job, reason: str, retry_at: float | None) -> None:
    """End an attempt without a result."""
    row = _held(tx, job)
    if retry_at is None:
        move_job(tx, row, JobState.FAILED, reason, reason=reason)
        if job.instance is not None:
            _tell_failure(tx, job.instance, reason)
    else:
        move_job(tx, row, JobState.RETRY, reason, reason=reason, due_at=retry_at)


def finish_report_job(tx: Transaction, job: Job) -> None:
    """End a report job whose results are stored in the same transaction."""
    row = _held(tx, job)
    if row["kind"] != JobKind.REPORT:
        raise ValueError(f"job {job.id} is not a report job")
    move_job(tx, row, JobState.DONE, f"revision {job.revision}")


def supersede_reports(tx: Transaction, study_uid: str, why: str) -> None:
    """End a study's unfinished report job; whoever runs it loses its lease."""
    report = and_(jobs.c.study_uid == study_uid, jobs.c.kind == JobKind.REPORT, unfinished_job())
    for row in tx.connection.execute(select(jobs).where(report)).mappings().all():
        move_job(
            tx, row, JobState.NOT_APPLICABLE, f"superseded: {why}", reason=f"superseded: {why}"
        )


def requeue_jobs(tx: Transaction, expired_at: float | None, why: str) -> int:
    """Take jobs away from workers that are gone.

    Parameters
    ----------
    expired_at
        Only leases that ended before; None for every lease.
    """
    gone = jobs.c.state == JobState.RUNNING
    if expired_at is not None:
        gone = and_(gone, jobs.c.lease_until < expired_at)
    rows = tx.connection.execute(select(jobs).where(gone)).mappings().all()
    for row in rows:
        lost = row["lost_leases"] + 1
        if lost < MAX_LOST_LEASES:
            told = f"attempt {row['attempt']} by {row['worker']} was cut off: {why}"
            move_job(tx, row, JobState.RETRY, told, reason=why, lost_leases=lost, due_at=tx.now)
        else:
            reason = f"given up: {lost} workers were lost on it, the last one because {why}"
            move_job(tx, row, JobState.FAILED, reason, reason=reason, lost_leases=lost)
            instance = _instance(tx, row["instance_id"])
            if instance is not None:
                _tell_failure(tx, instance, reason)
    return len(rows)


def move_job(tx: Transaction, row: Row, state: JobState, detail: str, **values: Any) -> None:
    """Change a job's state; leaving `running` ends its lease and outdates its fence."""
    if state != JobState.RUNNING:
        values = {"worker": None, "lease_until": None, "fence": row["fence"] + 1, **values}
    tx.connection.execute(update(jobs).where(jobs.c.id == row["id"]).values(state=state, **values))
    tx.event(row["study_uid"], _subject(row["kind"], row["id"]), state, detail)


def move_instance(
    tx: Transaction,
    instance: InstanceRow,
    state: InstanceState,
    *,
    reason: str = "",
    detail: str = "",
) -> None:
    """Change an instance's state."""
    tx.connection.execute(
        update(instances).where(instances.c.id == instance.id).values(state=state, reason=reason)
    )
    tx.event(instance.study_instance_uid, f"instance {instance.id}", state, detail)


def _tell_failure(tx: Transaction, instance: InstanceRow, reason: str) -> None:
    """Make an analysis that was given up an outcome, which the study's report tells."""
    tx.connection.execute(delete(outcomes).where(outcomes.c.instance_id == instance.id))
    # A key object or a text that can't be read keeps no finding from being made.
    state: OutcomeState = "failed" if is_cardiac_class(instance.sop_class_uid) else "not_applicable"
    told = _values(FindingOutcome(ANY_FINDING, state, reason))
    whose = {"instance_id": instance.id, "study_uid": instance.study_instance_uid}
    tx.connection.execute(insert(outcomes).values(**whose, **told))


def _held(tx: Transaction, job: Job) -> Row:
    row = (
        tx.connection.execute(
            select(jobs).where(
                jobs.c.id == job.id,
                jobs.c.fence == job.fence,
                jobs.c.state == JobState.RUNNING,
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        raise LeaseLostError
    return row


def _instance(tx: Transaction, instance_id: int | None) -> InstanceRow | None:
    if instance_id is None:
        return None
    found = tx.connection.execute(select(instances).where(instances.c.id == instance_id))
    return instance_row(found.mappings().one())


def _analysed_instance(job: Job) -> InstanceRow:
    if job.instance is None:
        raise ValueError(f"job {job.id} is not an analysis")
    return job.instance


def _subject(kind: str, job_id: int) -> str:
    return f"{kind} job {job_id}"


def _values(outcome: FindingOutcome) -> dict[str, Any]:
    return {
        "finding": outcome.finding,
        "state": outcome.state,
        "reason": outcome.reason,
        "observation": outcome.observation,
        "sort_key": outcome.sort_key,
        "reported_in": None,
        "role": outcome.role,
        "alone": outcome.role is not None and outcome.state == "analysed",
        "notes": outcome.reason if outcome.role is not None else "",
    }
