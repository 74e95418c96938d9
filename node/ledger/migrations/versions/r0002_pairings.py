"""Pairs of instances across studies: when they were acquired, who waits, and who has a partner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_LIVE = "state IN ('waiting', 'paired', 'expired')"
_OUTCOMES = "instance_id, study_uid, finding, state, reason, observation, sort_key, reported_in"


def upgrade() -> None:
    """Add what pairing needs; what arrived before has no date of acquisition."""
    op.create_index("ix_studies_patient_key", "studies", ["patient_key"], unique=False)
    op.add_column(
        "instances", sa.Column("birth_key", sa.String(), nullable=False, server_default="")
    )
    op.add_column("instances", sa.Column("acquired_at", sa.Float(), nullable=True))
    _rebuild_outcomes(
        "'analysed', 'waiting', 'not_applicable', 'not_analysed', 'failed'",
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.text("0")),
        sa.Column("notes", sa.String(), nullable=False, server_default=""),
    )
    _pairings()


def downgrade() -> None:
    """Forget pairs and dates; what waited becomes not applicable."""
    op.drop_table("pairings")
    op.execute("UPDATE outcomes SET state = 'not_applicable' WHERE state = 'waiting'")
    _rebuild_outcomes("'analysed', 'not_applicable', 'not_analysed', 'failed'")
    op.drop_column("instances", "acquired_at")
    op.drop_column("instances", "birth_key")
    op.drop_index("ix_studies_patient_key", "studies")


def _rebuild_outcomes(states: str, *more: sa.Column[str] | sa.Column[bool]) -> None:
    # SQLite can't change a CHECK; nothing refers to this table, so that it can be made anew.
    op.create_table(
        "outcomes_anew",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("observation", sa.String(), nullable=True),
        sa.Column("sort_key", sa.Float(), nullable=False),
        sa.Column("reported_in", sa.Integer(), nullable=True),
        *more,
        sa.CheckConstraint(f"state IN ({states})", name="ck_outcomes_state"),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_outcomes_instance_id"),
        sa.ForeignKeyConstraint(["study_uid"], ["studies.study_uid"], name="fk_outcomes_study_uid"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_id", "finding", name="uq_outcomes_instance_id_finding"),
    )
    op.execute(f"INSERT INTO outcomes_anew (id, {_OUTCOMES}) SELECT id, {_OUTCOMES} FROM outcomes")
    op.drop_table("outcomes")
    op.rename_table("outcomes_anew", "outcomes")
    op.create_index("ix_outcomes_study_uid", "outcomes", ["study_uid"], unique=False)


def _pairings() -> None:
    op.create_table(
        "pairings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("patient_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("xray_id", sa.Integer(), nullable=True),
        sa.Column("xray_study_uid", sa.String(), nullable=True),
        sa.Column("ecg_id", sa.Integer(), nullable=True),
        sa.Column("ecg_study_uid", sa.String(), nullable=True),
        sa.Column("distance_days", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'paired', 'expired', 'superseded')", name="ck_pairings_state"
        ),
        sa.CheckConstraint("xray_id IS NOT NULL OR ecg_id IS NOT NULL", name="ck_pairings_someone"),
        sa.CheckConstraint(
            "state IN ('superseded') OR"
            " (state = 'paired') = (xray_id IS NOT NULL AND ecg_id IS NOT NULL)",
            name="ck_pairings_both",
        ),
        sa.ForeignKeyConstraint(["xray_id"], ["instances.id"], name="fk_pairings_xray_id"),
        sa.ForeignKeyConstraint(
            ["xray_study_uid"], ["studies.study_uid"], name="fk_pairings_xray_study_uid"
        ),
        sa.ForeignKeyConstraint(["ecg_id"], ["instances.id"], name="fk_pairings_ecg_id"),
        sa.ForeignKeyConstraint(
            ["ecg_study_uid"], ["studies.study_uid"], name="fk_pairings_ecg_study_uid"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("xray_id", "xray_study_uid", "ecg_id", "ecg_study_uid"):
        op.create_index(f"ix_pairings_{column}", "pairings", [column], unique=False)
    op.create_index(
        "ix_pairings_of_patient", "pairings", ["patient_key"], sqlite_where=sa.text(_LIVE)
    )
    op.create_index(
        "ix_pairings_waiting",
        "pairings",
        ["expires_at"],
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "uq_pairings_xray",
        "pairings",
        ["xray_id", "finding"],
        unique=True,
        sqlite_where=sa.text(f"xray_id IS NOT NULL AND {_LIVE}"),
    )
    op.create_index(
        "uq_pairings_lone_ecg",
        "pairings",
        ["ecg_id", "finding"],
        unique=True,
        sqlite_where=sa.text(f"xray_id IS NULL AND {_LIVE}"),
    )
