"""A ledger whose outbox holds objects for a destination that is asked for commitment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.ledger.commitments import Setback
from node.ledger.ledger import Ledger
from node.ledger.records import DeliveryRow, FindingOutcome, StoredObject
from node.retry import RetryDecision
from tests.ledger_with_study import MovableClock, make_arrival

STUDY = "2.25.1001"
QUIET_S = 10.0
ATTEMPTS = 3
_REPORT = StoredObject(
    kind="sr",
    finding="ejection_fraction",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
    sop_instance_uid=f"{STUDY}.1",
    series_instance_uid=f"{STUDY}.9",
    study_instance_uid=STUDY,
    series_number=9020,
    sha256="ab" * 32,
    size_bytes=10,
    path="results/x.dcm",
)


def objects(count: int) -> list[StoredObject]:
    """A report and captures, in name only."""
    return [_REPORT] + [
        replace(_REPORT, kind="capture", sop_instance_uid=f"{STUDY}.{number}")
        for number in range(2, count + 1)
    ]


def queue(ledger: Ledger, clock: MovableClock, stored: Sequence[StoredObject]) -> None:
    """Bring objects of one study into the outbox for the destination ``pacs``."""
    ledger.record_arrival(make_arrival(STUDY, 1))
    job = ledger.claim_job("w1", 60.0)
    assert job is not None
    ledger.finish_analysis(job, [FindingOutcome("ejection_fraction", "analysed", "", "{}")])
    clock.now += 2 * QUIET_S
    ledger.complete_due_studies(QUIET_S)
    report = ledger.claim_job("w1", 60.0)
    assert report is not None
    ledger.finish_report(report, stored, ["pacs"])


def deliver(ledger: Ledger, wait_s: float | None = 0.0) -> list[str]:
    """Say of everything that is due that it was sent; the UIDs."""
    uids = []
    while (delivery := ledger.claim_delivery("pacs", 60.0)) is not None:
        ledger.delivery_sent(delivery, "", wait_s)
        uids.append(delivery.object.sop_instance_uid)
    return uids


def rows(ledger: Ledger) -> list[DeliveryRow]:
    """The deliveries."""
    detail = ledger.study(STUDY)
    assert detail is not None
    return list(detail.deliveries)


def states(ledger: Ledger) -> list[str]:
    """The deliveries' states."""
    return [each.state.value for each in rows(ledger)]


def judge(setback: Setback) -> RetryDecision:
    """Try again after a second, but send no more than :data:`ATTEMPTS` times."""
    limited = setback.asked or setback.permanent
    if limited and setback.failures + 1 >= ATTEMPTS:
        return RetryDecision(None, setback.reason)
    return RetryDecision(setback.now + 1.0, setback.reason)
