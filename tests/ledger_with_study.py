"""Fills a ledger with one study that was analysed and reported."""

from __future__ import annotations

import hashlib
from typing import Protocol

from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, FindingOutcome, StoredObject

STUDY = "1.2.840.113619.2.55.3.604688119"
DESTINATIONS = ("archive", "pacs")
_QUIET_S = 10.0


class MovableClock(Protocol):
    """A clock that the test sets."""

    now: float


def make_arrival(study: str, number: int) -> Arrival:
    """An echo clip of a study."""
    return Arrival(
        sha256=hashlib.sha256(f"{study}/{number}".encode()).hexdigest(),
        size_bytes=1000,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.3.1",
        sop_instance_uid=f"{study}.{number}",
        series_instance_uid=f"{study}.0",
        study_instance_uid=study,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="US",
        patient_key="aa",
        calling_ae_title="ECHO1",
        own_result=False,
    )


def fill_ledger(ledger: Ledger, clock: MovableClock) -> None:
    """One analysed clip, one quarantined, and a report that waits for two destinations."""
    ledger.record_arrival(make_arrival(STUDY, 1))
    ledger.record_arrival(make_arrival(STUDY, 2), "no pixels")
    job = ledger.claim_job("w1", 60.0)
    assert job is not None
    ledger.finish_analysis(
        job,
        [
            FindingOutcome("echo_view", "analysed", "", "{}"),
            FindingOutcome("ejection_fraction", "not_analysed", "one beat is not in view"),
        ],
    )
    clock.now += 2 * _QUIET_S
    ledger.complete_due_studies(_QUIET_S)
    report = ledger.claim_job("w1", 60.0)
    assert report is not None
    stored = StoredObject(
        kind="sr",
        finding="echo_view",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        sop_instance_uid=f"{STUDY}.9",
        series_instance_uid=f"{STUDY}.8",
        study_instance_uid=STUDY,
        series_number=9001,
        sha256="ab" * 32,
        size_bytes=10,
        path="results/x.dcm",
    )
    ledger.finish_report(report, [stored], DESTINATIONS)
