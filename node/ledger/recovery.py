"""Changes after workers were lost: at the start of a node, and by the watchdog."""

from __future__ import annotations

from sqlalchemy import select, update

from node.ledger.deliveries import requeue_deliveries
from node.ledger.jobs import requeue_jobs
from node.ledger.tables import NODE_EVENTS, deliveries, events, jobs, studies
from node.ledger.writer import Transaction

_STARTED, _STOPPED, _DIED = "started", "stopped", "died"
_LAST = select(events.c.at, events.c.what).order_by(events.c.id.desc()).limit(1)

#: No retry is planned further ahead than this; a later one comes from a clock that was set back.
MAX_WAIT_S = 3600.0


def recover(tx: Transaction) -> int:
    """Void every lease of the node's previous process, which the lock file proves is gone."""
    _note_start(tx)
    for table, column in ((jobs, "due_at"), (deliveries, "due_at"), (studies, "last_arrival_at")):
        limit = tx.now if table is studies else tx.now + MAX_WAIT_S
        tx.connection.execute(update(table).where(table.c[column] > limit).values({column: limit}))
    why = "the node was restarted"
    return requeue_jobs(tx, None, why) + requeue_deliveries(tx, None, why)


def note_end(tx: Transaction) -> None:
    """Tell that the node ends because it was asked to."""
    tx.event(NODE_EVENTS, "node", _STOPPED, "it was asked to end, and finished what it had begun")


def _note_start(tx: Transaction) -> None:
    """Tell that the node starts, and that it died if nothing tells how it ended."""
    before = tx.connection.execute(_LAST.where(events.c.study_uid == NODE_EVENTS)).first()
    if before is not None and before.what == _STARTED:
        told = "it ended without being asked to: killed, crashed, or the power failed"
        silent_s = tx.now - tx.connection.execute(_LAST).one().at
        if silent_s >= 0:  # else the clock was set back meanwhile
            told += f"; the last that it wrote here is from {silent_s:.1f} s before its new start"
        tx.event(NODE_EVENTS, "node", _DIED, told)
    tx.event(NODE_EVENTS, "node", _STARTED, "it loads its networks before it works")


def requeue_expired(tx: Transaction) -> int:
    """Take jobs and deliveries away from workers whose lease has expired."""
    why = "its lease expired"
    return requeue_jobs(tx, tx.now, why) + requeue_deliveries(tx, tx.now, why)
