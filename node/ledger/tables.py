"""The ledger's tables, as the newest migration leaves them."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TextClause,
    UniqueConstraint,
    text,
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

#: Revision of the newest migration; a test holds the two together.
SCHEMA_REVISION = "0003"

# SQLite uses a partial index only for a query that repeats its condition word for word.
JOB_UNFINISHED = "state IN ('waiting', 'running', 'retry')"
CLAIMABLE = "state IN ('waiting', 'retry')"
TO_COMMIT = "state = 'sent' AND commit_due_at IS NOT NULL"
COMMITMENT_OPEN = "state IN ('asking', 'asked')"
PAIRING_LIVE = "state IN ('waiting', 'paired', 'expired')"
#: Stands for a study in events of the node itself; no UID can be like it.
NODE_EVENTS = "node"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def unfinished_job(table: str = "jobs") -> TextClause:
    """Condition that a job is not final yet, for the given table or alias."""
    return text(f"{table}.{JOB_UNFINISHED}")


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    values = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({values})", name=column)


def _object_columns() -> list[Column[str] | Column[int] | Column[str | None]]:
    return [
        Column("kind", String, nullable=False),
        Column("finding", String, nullable=False),
        Column("sop_class_uid", String, nullable=False),
        Column("sop_instance_uid", String, nullable=False, index=True),
        Column("series_instance_uid", String, nullable=False),
        Column("study_instance_uid", String, nullable=False),
        Column("series_number", Integer, nullable=False),
        Column("sha256", String, nullable=False),
        Column("size_bytes", Integer, nullable=False),
        Column("path", String, nullable=False),
        Column("instance_sop_uid", String),
    ]


studies = Table(
    "studies",
    metadata,
    Column("study_uid", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("patient_key", String, nullable=False, index=True),
    Column("identity_conflict", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("first_arrival_at", Float, nullable=False),
    Column("last_arrival_at", Float, nullable=False, index=True),
    Column("completed_at", Float),
    _one_of("state", StudyState),
    Index(None, "state", "last_arrival_at"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String, nullable=False, index=True),
    Column("size_bytes", Integer, nullable=False),
    Column("sop_class_uid", String, nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("series_instance_uid", String, nullable=False),
    Column("study_instance_uid", ForeignKey("studies.study_uid"), nullable=False, index=True),
    Column("transfer_syntax_uid", String, nullable=False),
    Column("modality", String, nullable=False),
    Column("calling_ae_title", String, nullable=False),
    Column("own_result", Boolean, nullable=False),
    Column("conflict", Boolean, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("reason", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("birth_key", String, nullable=False, server_default=""),
    Column("acquired_at", Float),
    _one_of("state", InstanceState),
    UniqueConstraint("sop_instance_uid", "sha256"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("study_uid", ForeignKey("studies.study_uid"), nullable=False, index=True),
    Column("instance_id", ForeignKey("instances.id")),
    Column("revision", Integer, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("lost_leases", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("worker", String),
    Column("lease_until", Float),
    Column("due_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("first_attempt_at", Float),
    Column("reason", String, nullable=False),
    _one_of("kind", JobKind),
    _one_of("state", JobState),
    Index("ix_jobs_claimable", "id", sqlite_where=text(CLAIMABLE)),
    Index(
        "uq_jobs_unfinished_analysis",
        "instance_id",
        unique=True,
        sqlite_where=text(f"kind = 'analyse' AND {JOB_UNFINISHED}"),
    ),
    Index(
        "uq_jobs_unfinished_report",
        "study_uid",
        unique=True,
        sqlite_where=text(f"kind = 'report' AND {JOB_UNFINISHED}"),
    ),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("study_uid", ForeignKey("studies.study_uid"), nullable=False, index=True),
    Column("finding", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("observation", String),
    Column("sort_key", Float, nullable=False),
    Column("reported_in", Integer),
    Column("role", String),
    # of an outcome with a role: whether it is reported without a partner, and its first reason
    Column("alone", Boolean, nullable=False, server_default=text("0")),
    Column("notes", String, nullable=False, server_default=""),
    CheckConstraint(
        "state IN ('analysed', 'waiting', 'not_applicable', 'not_analysed', 'failed')",
        name="state",
    ),
    UniqueConstraint("instance_id", "finding"),
)

captures = Table(
    "captures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False, index=True),
    Column("study_uid", ForeignKey("studies.study_uid"), nullable=False, index=True),
    *_object_columns(),
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_uid", ForeignKey("studies.study_uid"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    *_object_columns(),
    UniqueConstraint("study_uid", "revision", "sop_instance_uid"),
    Index(
        "uq_results_report",
        "study_uid",
        "revision",
        "finding",
        unique=True,
        sqlite_where=text("kind = 'sr'"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_uid", ForeignKey("studies.study_uid"), nullable=False, index=True),
    Column("result_id", ForeignKey("results.id"), nullable=False),
    Column("sop_instance_uid", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Float),
    Column("due_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("first_attempt_at", Float),
    Column("permanent_refusals", Integer, nullable=False),
    Column("reason", String, nullable=False),
    # of storage commitment: when it arrived, when to ask for it (None: not, or it was asked for),
    # the last request that named it, and how many requests since it was new were in vain
    Column("sent_at", Float),
    Column("commit_due_at", Float),
    Column("commitment_id", Integer),
    Column("commit_failures", Integer, nullable=False, server_default=text("0")),
    _one_of("state", DeliveryState),
    # One object can be queued for a destination once, whatever number of revisions contain it.
    UniqueConstraint("sop_instance_uid", "destination"),
    Index("ix_deliveries_claimable", "destination", "id", sqlite_where=text(CLAIMABLE)),
    Index("ix_deliveries_in_order", "study_uid", "destination", "id", sqlite_where=text(CLAIMABLE)),
    Index("ix_deliveries_to_commit", "destination", "commit_due_at", sqlite_where=text(TO_COMMIT)),
)

commitments = Table(
    "commitments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String, nullable=False, unique=True),
    Column("destination", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("asked_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reason", String, nullable=False),
    _one_of("state", CommitmentState),
    Index("ix_commitments_open", "destination", "asked_at", sqlite_where=text(COMMITMENT_OPEN)),
)

# Which deliveries a request names, and the Failure Reason (0008,1197) that it was answered with.
commitment_references = Table(
    "commitment_references",
    metadata,
    Column("commitment_id", ForeignKey("commitments.id"), primary_key=True),
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True, index=True),
    Column("failure_reason", Integer),
)

pairings = Table(
    "pairings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("finding", String, nullable=False),
    Column("patient_key", String, nullable=False),
    Column("state", String, nullable=False),
    Column("xray_id", ForeignKey("instances.id"), index=True),
    Column("xray_study_uid", ForeignKey("studies.study_uid"), index=True),
    Column("ecg_id", ForeignKey("instances.id"), index=True),
    Column("ecg_study_uid", ForeignKey("studies.study_uid"), index=True),
    Column("distance_days", Float),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("reason", String, nullable=False),
    _one_of("state", PairingState),
    CheckConstraint("xray_id IS NOT NULL OR ecg_id IS NOT NULL", name="someone"),
    CheckConstraint(
        "state IN ('superseded') OR"
        " (state = 'paired') = (xray_id IS NOT NULL AND ecg_id IS NOT NULL)",
        name="both",
    ),
    Index("ix_pairings_of_patient", "patient_key", sqlite_where=text(PAIRING_LIVE)),
    Index("ix_pairings_waiting", "expires_at", sqlite_where=text("state = 'waiting'")),
    # An X-ray is in one pair; an ECG that is nobody's waits in one row.
    Index(
        "uq_pairings_xray",
        "xray_id",
        "finding",
        unique=True,
        sqlite_where=text(f"xray_id IS NOT NULL AND {PAIRING_LIVE}"),
    ),
    Index(
        "uq_pairings_lone_ecg",
        "ecg_id",
        "finding",
        unique=True,
        sqlite_where=text(f"xray_id IS NULL AND {PAIRING_LIVE}"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("study_uid", String, nullable=False, index=True),
    Column("subject", String, nullable=False),
    Column("what", String, nullable=False),
    Column("detail", String, nullable=False),
)
