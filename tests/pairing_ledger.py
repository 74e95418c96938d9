"""Puts ECGs and X-rays of several studies into a ledger, as a node does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, FindingOutcome, Job, PairingRow, StoredObject, StudyDetail
from node.ledger.states import JobKind
from node.pairing import PairingRule, Role

DAY = 86_400.0
QUIET_S = 10.0
RULE = PairingRule(window_days=7.0, expire_after_days=14.0)
FINDING = "stenosis_screening"


class VirtualClock:
    """A clock that the test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


def arrival(
    study: str,
    days: float | None,
    *,
    patient: str = "aa",
    born: str = "bb",
    modality: str = "",
    number: int = 1,
) -> Arrival:
    """An ECG, or an X-ray where the study is one of 1.1; acquired on a day since 1970."""
    return Arrival(
        sha256=hashlib.sha256(f"{study}/{number}".encode()).hexdigest(),
        size_bytes=1000,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1",
        sop_instance_uid=f"{study}.{number}",
        series_instance_uid=f"{study}.0",
        study_instance_uid=study,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality=modality or ("DX" if study.startswith("1.1") else "ECG"),
        patient_key=patient,
        calling_ae_title="MODALITY",
        own_result=False,
        birth_key=born,
        acquired_at=None if days is None else days * DAY,
    )


def analyse(ledger: Ledger, *, alone: bool = False, notes: str = "") -> Job:
    """Do the analysis that is due, as the finding does."""
    job = ledger.claim_job("worker", 60)
    assert job is not None
    assert job.instance is not None
    role = Role.XRAY if job.instance.modality == "DX" else Role.ECG
    state = "analysed" if alone else "waiting"
    observation = json.dumps({"score": job.instance.id})
    captures = [capture(job.instance.study_instance_uid)] if role is Role.ECG else []
    outcome = FindingOutcome(FINDING, state, notes, observation, role=role)  # type: ignore[arg-type]
    ledger.finish_analysis(job, [outcome], captures)
    return job


def take(ledger: Ledger, each: Arrival, *, alone: bool = False) -> None:
    """Record an arrival and analyse it."""
    ledger.record_arrival(each)
    analyse(ledger, alone=alone)


def capture(study: str) -> StoredObject:
    """The picture of a study's ECG."""
    return StoredObject(
        kind="capture",
        finding=FINDING,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7.4",
        sop_instance_uid=f"2.25.7.{study}",
        series_instance_uid="2.25.9",
        study_instance_uid=study,
        series_number=9061,
        sha256=hashlib.sha256(study.encode()).hexdigest(),
        size_bytes=5000,
        path="results/x.dcm",
        instance_sop_uid=f"{study}.1",
    )


def report(study: str, name: str) -> StoredObject:
    """A report of a study."""
    return replace(
        capture(study), kind="sr", sop_instance_uid=f"2.25.{name}", instance_sop_uid=None
    )


def detail(ledger: Ledger, study: str) -> StudyDetail:
    """Everything about a study that is known."""
    found = ledger.study(study)
    assert found is not None
    return found


def pairings(ledger: Ledger, study: str) -> list[PairingRow]:
    """The pairings that a study has a part in, oldest first."""
    return list(detail(ledger, study).pairings)


def states(ledger: Ledger, study: str) -> list[str]:
    """Their states."""
    return [each.state.value for each in pairings(ledger, study)]


def outcome(ledger: Ledger, study: str) -> tuple[str, str]:
    """State and reason of a study's one outcome."""
    (row,) = detail(ledger, study).outcomes
    return row.outcome.state, row.outcome.reason


def reports_due(ledger: Ledger, clock: VirtualClock) -> list[str]:
    """The studies that get a report now; each is finished."""
    clock.now += QUIET_S
    ledger.complete_due_studies(QUIET_S)
    due = []
    while (job := ledger.claim_job("worker", 60)) is not None:
        assert job.kind is JobKind.REPORT
        name = f"{job.study_uid}.{job.revision}"
        ledger.finish_report(job, [report(job.study_uid, name)], ["pacs"])
        due.append(job.study_uid)
    return due


def partners(ledger: Ledger, study: str = "1.1") -> list[str]:
    """With which instances a study's instances are paired."""
    return [each.instance.sop_instance_uid for each in ledger.study_partners(study)]
