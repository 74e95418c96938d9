"""Turns rows of the tables into records, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from node.ledger.records import (
    CommitmentRow,
    DeliveryRow,
    FindingOutcome,
    InstanceRow,
    JobRow,
    OutcomeRow,
    PairedInstance,
    PairingRow,
    StoredObject,
    StudyRow,
)
from node.ledger.states import (
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobKind,
    JobState,
    PairingState,
    StudyState,
)
from node.pairing import Role

Row = Mapping[Any, Any]

_OBJECT_FIELDS = tuple(field.name for field in fields(StoredObject))


def object_values(stored: StoredObject) -> dict[str, Any]:
    """Column values of a result object."""
    return asdict(stored)


def stored_object(row: Row) -> StoredObject:
    """Read a row of ``results`` or ``captures``."""
    return StoredObject(**{name: row[name] for name in _OBJECT_FIELDS})


def instance_row(row: Row) -> InstanceRow:
    """Read a row of ``instances``."""
    values = {field.name: row[field.name] for field in fields(InstanceRow)}
    return InstanceRow(**{**values, "state": InstanceState(row["state"])})


def study_row(row: Row) -> StudyRow:
    """Read a row of ``studies``."""
    values = {field.name: row[field.name] for field in fields(StudyRow)}
    return StudyRow(**{**values, "state": StudyState(row["state"])})


def finding_outcome(row: Row) -> FindingOutcome:
    """Read a row of ``outcomes``."""
    return FindingOutcome(
        row["finding"],
        row["state"],
        row["reason"],
        row["observation"],
        row["sort_key"],
        Role(row["role"]) if row["role"] else None,
    )


def outcome_row(row: Row) -> OutcomeRow:
    """Read a row of ``outcomes``, with whose it is."""
    return OutcomeRow(row["instance_id"], finding_outcome(row), row["reported_in"])


def job_row(row: Row) -> JobRow:
    """Read a row of ``jobs``."""
    return JobRow(
        id=row["id"],
        kind=JobKind(row["kind"]),
        instance_id=row["instance_id"],
        revision=row["revision"],
        state=JobState(row["state"]),
        attempt=row["attempt"],
        due_at=row["due_at"],
        reason=row["reason"],
    )


def commitment_row(row: Row, failure_reason: int | None) -> CommitmentRow:
    """Read a row of ``commitments``."""
    return CommitmentRow(
        transaction_uid=row["transaction_uid"],
        state=CommitmentState(row["state"]),
        asked_at=row["asked_at"],
        ended_at=row["ended_at"],
        failure_reason=failure_reason,
    )


def delivery_row(row: Row, stored: StoredObject, commitment: CommitmentRow | None) -> DeliveryRow:
    """Read a row of ``deliveries``."""
    return DeliveryRow(
        id=row["id"],
        destination=row["destination"],
        object=stored,
        state=DeliveryState(row["state"]),
        attempt=row["attempt"],
        due_at=row["due_at"],
        reason=row["reason"],
        commitment=commitment,
        commit_failures=row["commit_failures"],
    )


def pairing_row(row: Row) -> PairingRow:
    """Read a row of ``pairings``."""
    return PairingRow(
        id=row["id"],
        finding=row["finding"],
        state=PairingState(row["state"]),
        xray=_side(row["xray_id"], row["xray_study_uid"]),
        ecg=_side(row["ecg_id"], row["ecg_study_uid"]),
        distance_days=row["distance_days"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        expires_at=row["expires_at"],
        reason=row["reason"],
    )


def _side(instance_id: int | None, study_uid: str | None) -> PairedInstance | None:
    if instance_id is None or study_uid is None:
        return None
    return PairedInstance(instance_id, study_uid)
