"""Storage commitment: what was asked of which destination, and which objects it keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Add what commitment needs; what was sent before is not asked for."""
    op.add_column("deliveries", sa.Column("sent_at", sa.Float(), nullable=True))
    op.add_column("deliveries", sa.Column("commit_due_at", sa.Float(), nullable=True))
    # no foreign key: SQLite adds none to a table that is there
    op.add_column("deliveries", sa.Column("commitment_id", sa.Integer(), nullable=True))
    op.add_column(
        "deliveries",
        sa.Column("commit_failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.create_index(
        "ix_deliveries_to_commit",
        "deliveries",
        ["destination", "commit_due_at"],
        sqlite_where=sa.text("state = 'sent' AND commit_due_at IS NOT NULL"),
    )
    op.create_table(
        "commitments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('asking', 'asked', 'answered', 'unanswered', 'refused')",
            name="ck_commitments_state",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("transaction_uid", name="uq_commitments_transaction_uid"),
    )
    op.create_index("ix_commitments_state", "commitments", ["state"], unique=False)
    op.create_index(
        "ix_commitments_open",
        "commitments",
        ["destination", "asked_at"],
        sqlite_where=sa.text("state IN ('asking', 'asked')"),
    )
    op.create_table(
        "commitment_references",
        sa.Column("commitment_id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("failure_reason", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["commitment_id"],
            ["commitments.id"],
            name="fk_commitment_references_commitment_id",
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_commitment_references_delivery_id"
        ),
        sa.PrimaryKeyConstraint("commitment_id", "delivery_id"),
    )
    op.create_index(
        "ix_commitment_references_delivery_id",
        "commitment_references",
        ["delivery_id"],
        unique=False,
    )


def downgrade() -> None:
    """Forget the requests; what is committed stays so."""
    op.drop_table("commitment_references")
    op.drop_table("commitments")
    op.drop_index("ix_deliveries_to_commit", "deliveries")
    for column in ("commit_failures", "commitment_id", "commit_due_at", "sent_at"):
        op.drop_column("deliveries", column)
