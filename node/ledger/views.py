"""What can be read from the ledger; each function sees one moment."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, exists, func, or_, select

from node.ledger.disposition import disposition
from node.ledger.records import (
    CommitmentRow,
    Disposition,
    Event,
    FindingOutcome,
    InstanceDetail,
    InstanceRow,
    Partner,
    ResultRow,
    StoredObject,
    StudyDetail,
    StudyRow,
)
from node.ledger.rows import (
    Row,
    commitment_row,
    delivery_row,
    finding_outcome,
    instance_row,
    job_row,
    outcome_row,
    pairing_row,
    stored_object,
    study_row,
)
from node.ledger.states import (
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    PairingState,
    StudyState,
)
from node.ledger.tables import (
    NODE_EVENTS,
    captures,
    commitment_references,
    commitments,
    deliveries,
    events,
    instances,
    jobs,
    outcomes,
    pairings,
    results,
    studies,
)

_COUNTED: tuple[tuple[str, Table, type[StrEnum]], ...] = (
    ("instances", instances, InstanceState),
    ("studies", studies, StudyState),
    ("jobs", jobs, JobState),
    ("deliveries", deliveries, DeliveryState),
    ("pairings", pairings, PairingState),
    ("commitments", commitments, CommitmentState),
)


def counts(connection: Connection) -> dict[str, dict[str, int]]:
    """Rows by state, every state present."""
    counted: dict[str, dict[str, int]] = {}
    for name, table, states in _COUNTED:
        by_state = select(table.c.state, func.count()).group_by(table.c.state)
        found = {row[0]: row[1] for row in connection.execute(by_state)}
        counted[name] = {state.value: found.get(state.value, 0) for state in states}
    return counted


def study_outcomes(
    connection: Connection, study_uid: str
) -> list[tuple[InstanceRow, FindingOutcome]]:
    """Every outcome of a study with its instance, in order of arrival."""
    whose = {
        row["id"]: instance_row(row)
        for row in _rows(connection, instances, instances.c.study_instance_uid == study_uid)
    }
    query = (
        select(outcomes)
        .where(outcomes.c.study_uid == study_uid)
        .order_by(outcomes.c.instance_id, outcomes.c.id)
    )
    found = connection.execute(query).mappings()
    return [(whose[row["instance_id"]], finding_outcome(row)) for row in found]


def study_partners(connection: Connection, study_uid: str) -> list[Partner]:
    """With whom the instances of a study are paired, in order of the pairings' making."""
    found = []
    for side, other in (("xray", "ecg"), ("ecg", "xray")):
        paired = and_(
            pairings.c[f"{side}_study_uid"] == study_uid, pairings.c.state == PairingState.PAIRED
        )
        for row in _rows(connection, pairings, paired):
            partner_id = row[f"{other}_id"]
            told = and_(outcomes.c.instance_id == partner_id, outcomes.c.finding == row["finding"])
            (instance,) = _rows(connection, instances, instances.c.id == partner_id)
            found += [
                Partner(
                    row["finding"], row[f"{side}_id"], instance_row(instance),
                    finding_outcome(outcome), row["distance_days"],
                )
                for outcome in _rows(connection, outcomes, told)
            ]  # fmt: skip
    return found


def study_captures(connection: Connection, study_uid: str) -> list[StoredObject]:
    """The captures that are held until the study's report."""
    query = (
        select(captures)
        .where(captures.c.study_uid == study_uid)
        .order_by(captures.c.instance_id, captures.c.id)
    )
    return [stored_object(row) for row in connection.execute(query).mappings()]


def study_results(connection: Connection, study_uid: str) -> list[ResultRow]:
    """The results of every revision, oldest first."""
    return [
        ResultRow(row["revision"], stored_object(row))
        for row in _rows(connection, results, results.c.study_uid == study_uid)
    ]


def is_own_object(connection: Connection, sop_instance_uid: str) -> bool:
    """Whether the node has made an object with this UID."""
    return _any(
        connection, select(exists().where(results.c.sop_instance_uid == sop_instance_uid))
    ) or _any(connection, select(exists().where(captures.c.sop_instance_uid == sop_instance_uid)))


def has_blob(connection: Connection, sha256: str) -> bool:
    """Whether an instance with these bytes was recorded."""
    return _any(connection, select(exists().where(instances.c.sha256 == sha256)))


def object_digests(connection: Connection) -> set[str]:
    """Digests of every result object that is in a report or held for one."""
    query = select(results.c.sha256).union(select(captures.c.sha256))
    return set(connection.execute(query).scalars())


def study_events(connection: Connection, study_uid: str) -> list[Event]:
    """What happened to a study, oldest first, and to the node meanwhile."""
    own = events.c.study_uid == study_uid
    first, last = connection.execute(
        select(func.min(events.c.id), func.max(events.c.id)).where(own)
    ).one()
    meanwhile = and_(events.c.study_uid == NODE_EVENTS, events.c.id.between(first, last))
    rows = _rows(connection, events, or_(own, meanwhile))
    return [Event(row["at"], row["subject"], row["what"], row["detail"]) for row in rows]


def recent_studies(connection: Connection, limit: int) -> list[StudyRow]:
    """The studies with the latest arrivals, latest first."""
    query = select(studies).order_by(studies.c.last_arrival_at.desc()).limit(limit)
    return [study_row(row) for row in connection.execute(query).mappings()]


def study_detail(connection: Connection, study_uid: str) -> StudyDetail | None:
    """Everything about one study, None when it is unknown."""
    found = connection.execute(select(studies).where(studies.c.study_uid == study_uid))
    row = found.mappings().first()
    if row is None:
        return None
    study = study_row(row)
    jobs_of = tuple(job_row(row) for row in _rows(connection, jobs, jobs.c.study_uid == study_uid))
    outcomes_of = tuple(
        outcome_row(row) for row in _rows(connection, outcomes, outcomes.c.study_uid == study_uid)
    )
    objects = {
        row["id"]: ResultRow(row["revision"], stored_object(row))
        for row in _rows(connection, results, results.c.study_uid == study_uid)
    }
    results_of = tuple(objects.values())
    deliveries_of = tuple(
        delivery_row(row, objects[row["result_id"]].object, _commitment(connection, row))
        for row in _rows(connection, deliveries, deliveries.c.study_uid == study_uid)
    )
    details = []
    for each in _rows(connection, instances, instances.c.study_instance_uid == study_uid):
        instance = instance_row(each)
        where = disposition(instance, study, outcomes_of, jobs_of, results_of, deliveries_of)
        details.append(InstanceDetail(instance, where))
    part_of = or_(pairings.c.xray_study_uid == study_uid, pairings.c.ecg_study_uid == study_uid)
    pairings_of = tuple(pairing_row(row) for row in _rows(connection, pairings, part_of))
    return StudyDetail(
        study, tuple(details), outcomes_of, jobs_of, results_of, deliveries_of, pairings_of
    )


def instance_disposition(connection: Connection, instance_id: int) -> Disposition | None:
    """Where one instance stands, None when it is unknown."""
    study_uid = connection.execute(
        select(instances.c.study_instance_uid).where(instances.c.id == instance_id)
    ).scalar()
    detail = None if study_uid is None else study_detail(connection, study_uid)
    if detail is None:
        return None
    return next(each.disposition for each in detail.instances if each.row.id == instance_id)


def _commitment(connection: Connection, delivery: Row) -> CommitmentRow | None:
    number = delivery["commitment_id"]
    if number is None:
        return None
    (row,) = _rows(connection, commitments, commitments.c.id == number)
    reference = select(commitment_references.c.failure_reason).where(
        commitment_references.c.commitment_id == number,
        commitment_references.c.delivery_id == delivery["id"],
    )
    return commitment_row(row, connection.execute(reference).scalar())


def _rows(connection: Connection, table: Table, where: ColumnElement[bool]) -> list[Row]:
    found = connection.execute(select(table).where(where).order_by(table.c.id))
    return list(found.mappings().all())


def _any(connection: Connection, query: Select[tuple[bool]]) -> bool:
    return bool(connection.execute(query).scalar())
