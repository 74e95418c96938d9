"""First schema: studies, instances, jobs, outcomes, captures, results, deliveries, events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make every table."""
    _studies()
    _instances()
    _jobs()
    _outcomes()
    _captures()
    _results()
    _deliveries()
    _events()


def downgrade() -> None:
    """Drop every table."""
    for table in (
        "events",
        "deliveries",
        "results",
        "captures",
        "outcomes",
        "jobs",
        "instances",
        "studies",
    ):
        op.drop_table(table)


def _object_columns() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("instance_sop_uid", sa.String(), nullable=True),
    ]


def _studies() -> None:
    op.create_table(
        "studies",
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("patient_key", sa.String(), nullable=False),
        sa.Column("identity_conflict", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("first_arrival_at", sa.Float(), nullable=False),
        sa.Column("last_arrival_at", sa.Float(), nullable=False),
        sa.Column("completed_at", sa.Float(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'complete')", name="ck_studies_state"),
        sa.PrimaryKeyConstraint("study_uid"),
    )
    op.create_index("ix_studies_last_arrival_at", "studies", ["last_arrival_at"], unique=False)
    op.create_index(
        "ix_studies_state_last_arrival_at", "studies", ["state", "last_arrival_at"], unique=False
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("series_instance_uid", sa.String(), nullable=False),
        sa.Column("study_instance_uid", sa.String(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("calling_ae_title", sa.String(), nullable=False),
        sa.Column("own_result", sa.Boolean(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "state IN ('received', 'decoded', 'quarantined')", name="ck_instances_state"
        ),
        sa.ForeignKeyConstraint(
            ["study_instance_uid"], ["studies.study_uid"], name="fk_instances_study_instance_uid"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "sop_instance_uid", "sha256", name="uq_instances_sop_instance_uid_sha256"
        ),
    )
    op.create_index("ix_instances_sha256", "instances", ["sha256"], unique=False)
    op.create_index("ix_instances_state", "instances", ["state"], unique=False)
    op.create_index(
        "ix_instances_study_instance_uid", "instances", ["study_instance_uid"], unique=False
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost_leases", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("first_attempt_at", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('analyse', 'report')", name="ck_jobs_kind"),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'retry', 'failed', 'not_applicable')",
            name="ck_jobs_state",
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_jobs_instance_id"),
        sa.ForeignKeyConstraint(["study_uid"], ["studies.study_uid"], name="fk_jobs_study_uid"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_jobs_claimable",
        "jobs",
        ["id"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'retry')"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"], unique=False)
    op.create_index("ix_jobs_study_uid", "jobs", ["study_uid"], unique=False)
    op.create_index(
        "uq_jobs_unfinished_analysis",
        "jobs",
        ["instance_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'analyse' AND state IN ('waiting', 'running', 'retry')"),
    )
    op.create_index(
        "uq_jobs_unfinished_report",
        "jobs",
        ["study_uid"],
        unique=True,
        sqlite_where=sa.text("kind = 'report' AND state IN ('waiting', 'running', 'retry')"),
    )


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("observation", sa.String(), nullable=True),
        sa.Column("sort_key", sa.Float(), nullable=False),
        sa.Column("reported_in", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('analysed', 'not_applicable', 'not_analysed', 'failed')",
            name="ck_outcomes_state",
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_outcomes_instance_id"),
        sa.ForeignKeyConstraint(["study_uid"], ["studies.study_uid"], name="fk_outcomes_study_uid"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_id", "finding", name="uq_outcomes_instance_id_finding"),
    )
    op.create_index("ix_outcomes_study_uid", "outcomes", ["study_uid"], unique=False)


def _captures() -> None:
    op.create_table(
        "captures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        *_object_columns(),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_captures_instance_id"),
        sa.ForeignKeyConstraint(["study_uid"], ["studies.study_uid"], name="fk_captures_study_uid"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_captures_instance_id", "captures", ["instance_id"], unique=False)
    op.create_index("ix_captures_sop_instance_uid", "captures", ["sop_instance_uid"], unique=False)
    op.create_index("ix_captures_study_uid", "captures", ["study_uid"], unique=False)


def _results() -> None:
    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        *_object_columns(),
        sa.ForeignKeyConstraint(["study_uid"], ["studies.study_uid"], name="fk_results_study_uid"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "study_uid",
            "revision",
            "sop_instance_uid",
            name="uq_results_study_uid_revision_sop_instance_uid",
        ),
    )
    op.create_index("ix_results_sop_instance_uid", "results", ["sop_instance_uid"], unique=False)
    op.create_index(
        "uq_results_report",
        "results",
        ["study_uid", "revision", "finding"],
        unique=True,
        sqlite_where=sa.text("kind = 'sr'"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("first_attempt_at", sa.Float(), nullable=True),
        sa.Column("permanent_refusals", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'committed', 'retry', 'dead')", name="ck_deliveries_state"
        ),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_deliveries_result_id"),
        sa.ForeignKeyConstraint(
            ["study_uid"], ["studies.study_uid"], name="fk_deliveries_study_uid"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "sop_instance_uid", "destination", name="uq_deliveries_sop_instance_uid_destination"
        ),
    )
    op.create_index(
        "ix_deliveries_claimable",
        "deliveries",
        ["destination", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'retry')"),
    )
    op.create_index(
        "ix_deliveries_in_order",
        "deliveries",
        ["study_uid", "destination", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'retry')"),
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"], unique=False)
    op.create_index("ix_deliveries_study_uid", "deliveries", ["study_uid"], unique=False)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_events_study_uid", "events", ["study_uid"], unique=False)
