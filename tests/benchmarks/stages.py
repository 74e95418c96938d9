"""Where the time of one study went, as the node's ledger tells it."""

from __future__ import annotations

from collections.abc import Sequence

from node.errors import UnreachableError
from node.ledger.records import Event, StudyDetail
from node.ledger.states import DeliveryState, StudyState


def is_sent(detail: StudyDetail | None) -> bool:
    """Whether a study is complete and every result of it was sent.

    Raises
    ------
    UnreachableError
        A delivery was given up.
    """
    if detail is None:
        return False
    if any(d.state is DeliveryState.DEAD for d in detail.deliveries):
        raise UnreachableError("The node gave a delivery up.")
    sent = [d.state is DeliveryState.SENT for d in detail.deliveries]
    return detail.study.state is StudyState.COMPLETE and bool(sent) and all(sent)


def stages(
    events: Sequence[Event], last_byte_at: float, report_stored_at: float
) -> dict[str, float]:
    """Divide the time from the last byte to the stored report; the parts add up to it.

    Parameters
    ----------
    events
        Of a study with one instance.
    last_byte_at, report_stored_at
        Epoch seconds.
    """
    marks = (
        ("arrival: check, fsync, ledger", _last(events, "instance", "received")),
        ("wait for a worker", _last(events, "analyse", "running")),
        ("analysis: decode, networks, captures", _last(events, "analyse", "done")),
        ("wait until the study counts as complete", _last(events, "study", "complete")),
        ("wait for a worker again", _last(events, "report", "running")),
        ("reports: build, validate, outbox", _last(events, "report", "done")),
        ("delivery", report_stored_at),
    )
    parts, before = {}, last_byte_at
    for name, at in marks:
        parts[name] = at - before
        before = at
    return parts


def _last(events: Sequence[Event], subject: str, what: str) -> float:
    return max(e.at for e in events if e.subject.startswith(subject) and e.what == what)
