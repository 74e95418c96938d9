"""Changes after workers were lost: at the start of a node, and by the watchdog."""

from __future__ import annotations

from sqlalchemy import update

from node.ledger_deliveries import requeue_deliveries
from node.ledger_jobs import requeue_jobs
from node.ledger_tables import deliveries, jobs, studies
from node.ledger_writer import Transaction

#: No retry is planned further ahead than this; a later one comes from a clock that was set back.
MAX_WAIT_S = 3600.0


def recover(tx: Transaction) -> int:
    """Void every lease of the node's previous process, which the lock file proves is gone."""
    for table, column in ((jobs, "due_at"), (deliveries, "due_at"), (studies, "last_arrival_at")):
        limit = tx.now if table is studies else tx.now + MAX_WAIT_S
        tx.connection.execute(update(table).where(table.c[column] > limit).values({column: limit}))
    why = "the node was restarted"
    return requeue_jobs(tx, None, why) + requeue_deliveries(tx, None, why)


def requeue_expired(tx: Transaction) -> int:
    """Take jobs and deliveries away from workers whose lease has expired."""
    why = "its lease expired"
    return requeue_jobs(tx, tx.now, why) + requeue_deliveries(tx, tx.now, why)
