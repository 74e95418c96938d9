"""Pairing across studies in a real ledger: any order, nearer ECGs, expiry, conflicts, restarts."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

import node
from node.ledger import Ledger
from node.ledger_records import Arrival, FindingOutcome, Job, PairingRow, StoredObject, StudyDetail
from node.ledger_states import JobKind
from node.pairing import PairingRule, Role

DAY = 86_400.0
QUIET_S = 10.0
RULE = PairingRule(window_days=7.0, expire_after_days=14.0)
FINDING = "stenosis_screening"


class VirtualClock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path, clock: VirtualClock) -> Iterator[Ledger]:
    with Ledger.open(path, clock, pairing=RULE) as opened:
        yield opened


def arrival(
    study: str,
    days: float | None,
    *,
    patient: str = "aa",
    born: str = "bb",
    modality: str = "",
    number: int = 1,
) -> Arrival:
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
    ledger.record_arrival(each)
    analyse(ledger, alone=alone)


def capture(study: str) -> StoredObject:
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
    return replace(
        capture(study), kind="sr", sop_instance_uid=f"2.25.{name}", instance_sop_uid=None
    )


def detail(ledger: Ledger, study: str) -> StudyDetail:
    found = ledger.study(study)
    assert found is not None
    return found


def pairings(ledger: Ledger, study: str) -> list[PairingRow]:
    return list(detail(ledger, study).pairings)


def states(ledger: Ledger, study: str) -> list[str]:
    return [each.state.value for each in pairings(ledger, study)]


def outcome(ledger: Ledger, study: str) -> tuple[str, str]:
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
    return [each.instance.sop_instance_uid for each in ledger.study_partners(study)]


@pytest.mark.parametrize("ecg_first", [False, True])
def test_either_order_of_arrival(ledger: Ledger, clock: VirtualClock, ecg_first: bool) -> None:
    both = [arrival("1.1", 100), arrival("1.2", 98)]
    if ecg_first:
        both.reverse()
    take(ledger, both[0])
    first = both[0].study_instance_uid
    waits_for = "a chest X-ray" if ecg_first else "an ECG"
    assert outcome(ledger, first) == ("waiting", f"waits for {waits_for} within 7 days")
    assert detail(ledger, first).instances[0].disposition.state.value == "pending"
    assert reports_due(ledger, clock) == []
    last = ledger.events(first)[-1]
    assert (last.what, last.detail) == ("nothing to report", "1 without a partner yet")
    take(ledger, both[1])
    (row,) = pairings(ledger, "1.1")
    assert row == pairings(ledger, "1.2")[0]
    assert (row.state.value, row.distance_days) == ("paired", -2.0)
    assert outcome(ledger, "1.1") == ("analysed", "paired with an ECG 2.0 days before")
    assert outcome(ledger, "1.2") == ("analysed", "paired with a chest X-ray 2.0 days after")
    (partner,) = ledger.study_partners("1.1")
    assert partner.instance.sop_instance_uid == "1.2.1"
    assert partner.outcome.role is Role.ECG
    assert partner.outcome.observation == json.dumps({"score": partner.instance.id})
    (other,) = ledger.study_partners("1.2")
    assert (other.of_id, other.instance.sop_instance_uid) == (partner.instance.id, "1.1.1")
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.2"]
    assert reports_due(ledger, clock) == []
    assert {each.what for each in ledger.events("1.2") if each.subject == "pairing 1"} >= {"paired"}


def test_a_nearer_ecg_makes_a_new_revision(ledger: Ledger, clock: VirtualClock) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, arrival("1.2", 97))
    reports_due(ledger, clock)
    take(ledger, arrival("1.3", 101))
    assert partners(ledger) == ["1.3.1"]
    assert states(ledger, "1.1") == ["superseded", "paired"]
    assert pairings(ledger, "1.1")[0].reason == "another ECG is nearer"
    assert outcome(ledger, "1.2") == ("waiting", "waits for a chest X-ray within 7 days")
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.3"]
    assert detail(ledger, "1.1").study.revision == 2
    take(ledger, arrival("1.4", 106))
    assert partners(ledger) == ["1.3.1"]
    assert reports_due(ledger, clock) == []
    assert detail(ledger, "1.1").study.revision == 2


def test_a_nearer_ecg_stops_a_report_that_is_being_made(
    ledger: Ledger, clock: VirtualClock
) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, arrival("1.2", 97))
    clock.now += QUIET_S
    ledger.complete_due_studies(QUIET_S)
    job = ledger.claim_job("worker", 60)
    assert job is not None
    assert job.study_uid == "1.1"
    take_while_reporting = arrival("1.3", 101)
    ledger.record_arrival(take_while_reporting)
    other = ledger.claim_job("worker", 60)
    assert other is not None
    assert other.study_uid == "1.2"
    ledger.finish_report(other, [], [])
    analyse(ledger)
    with pytest.raises(node.errors.LeaseLostError):
        ledger.finish_report(job, [report("1.1", "old")], ["pacs"])
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.3"]
    assert detail(ledger, "1.1").study.revision == 1


@pytest.mark.parametrize(
    "other",
    [
        arrival("1.2", 100, patient="another issuer"),
        arrival("1.2", 100, born="another day"),
        arrival("1.2", 107.001),
        arrival("1.2", 92.999),
    ],
    ids=["issuer", "birth date", "after the window", "before the window"],
)
def test_what_does_not_belong_together(ledger: Ledger, other: Arrival) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, other)
    assert partners(ledger) == []
    assert states(ledger, "1.1") == states(ledger, "1.2") == ["waiting"]


@pytest.mark.parametrize(
    "other", [arrival("1.2", 107), arrival("1.2", 93), arrival("1.2", 100, born="")]
)
def test_the_edges_of_the_window(ledger: Ledger, other: Arrival) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, other)
    assert partners(ledger) == ["1.2.1"]


def test_without_date_or_patient_the_reason_is_reported(
    ledger: Ledger, clock: VirtualClock
) -> None:
    take(ledger, arrival("1.1", None))
    take(ledger, arrival("1.2", 100, patient=""))
    assert outcome(ledger, "1.1") == (
        "not_analysed",
        "it has no date of acquisition, so that it can't be paired",
    )
    assert outcome(ledger, "1.2")[0] == "not_analysed"
    assert "PatientID" in outcome(ledger, "1.2")[1]
    assert states(ledger, "1.1") == states(ledger, "1.2") == []
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.2"]
    # The study's patient becomes known with another instance of it.
    ledger.record_arrival(arrival("1.2", 100, number=2), "damaged")
    assert outcome(ledger, "1.2")[0] == "waiting"
    take(ledger, arrival("1.1.9", 101))
    assert partners(ledger, "1.1.9") == ["1.2.1"]


def test_expiry_is_reported_for_the_x_ray_and_a_late_ecg_still_counts(
    ledger: Ledger, clock: VirtualClock
) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, arrival("1.2", 300))
    clock.now += 14 * DAY - 1
    assert ledger.expire_pairings() == 0
    clock.now += 1
    assert ledger.expire_pairings() == 2
    assert ledger.expire_pairings() == 0
    assert states(ledger, "1.1") == ["expired"]
    words = "an ECG within 7 days did not come in 14 days"
    assert outcome(ledger, "1.1") == ("not_analysed", words)
    state, reason = outcome(ledger, "1.2")
    assert state == "not_applicable"
    assert reason == "a chest X-ray within 7 days did not come in 14 days"
    assert ledger.events("1.1")[-1].detail == f"X-ray instance 1: {words}"
    assert reports_due(ledger, clock) == ["1.1"]
    take(ledger, arrival("1.3", 99))
    assert partners(ledger) == ["1.3.1"]
    assert states(ledger, "1.1") == ["paired"]
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.3"]
    assert detail(ledger, "1.1").study.revision == 2


def test_one_modality_alone_is_reported_and_then_replaced(
    ledger: Ledger, clock: VirtualClock
) -> None:
    take(ledger, arrival("1.1", 100), alone=True)
    assert outcome(ledger, "1.1") == ("analysed", "alone: waits for an ECG within 7 days")
    assert reports_due(ledger, clock) == ["1.1"]
    take(ledger, arrival("1.2", 98), alone=True)
    assert outcome(ledger, "1.1")[1] == "paired with an ECG 2.0 days before"
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.2"]
    assert detail(ledger, "1.1").study.revision == 2


def test_a_study_of_two_patients_is_never_paired(ledger: Ledger, clock: VirtualClock) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, arrival("1.2", 98))
    reports_due(ledger, clock)
    ledger.record_arrival(arrival("1.2", 98, patient="another", number=2), "damaged")
    assert partners(ledger) == []
    assert states(ledger, "1.1") == ["superseded", "waiting"]
    state, reason = outcome(ledger, "1.1")
    assert state == "not_analysed"
    assert "no longer counts; waits for an ECG" in reason
    assert reports_due(ledger, clock) == ["1.1"]
    take(ledger, arrival("1.2", 97, number=3))
    assert partners(ledger) == []
    take(ledger, arrival("1.3", 103))
    assert partners(ledger) == ["1.3.1"]
    assert outcome(ledger, "1.1")[0] == "analysed"


def test_one_ecg_of_two_x_rays(ledger: Ledger, clock: VirtualClock) -> None:
    take(ledger, arrival("1.2", 100))
    take(ledger, arrival("1.1", 101))
    take(ledger, arrival("1.1.9", 104))
    assert partners(ledger) == partners(ledger, "1.1.9") == ["1.2.1"]
    assert states(ledger, "1.2") == ["paired", "paired"]
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.1.9", "1.2"]
    take(ledger, arrival("1.3", 104))
    assert (partners(ledger), partners(ledger, "1.1.9")) == (["1.2.1"], ["1.3.1"])
    assert sorted(reports_due(ledger, clock)) == ["1.1.9", "1.3"]


def test_a_replay_keeps_the_pair_and_makes_its_report_anew(
    ledger: Ledger, clock: VirtualClock
) -> None:
    take(ledger, arrival("1.1", 100))
    take(ledger, arrival("1.2", 98))
    reports_due(ledger, clock)
    assert ledger.replay("1.2") == 1
    take_other = arrival("1.3", 94)
    ledger.record_arrival(take_other)
    analyse(ledger)  # the replayed ECG keeps its place while it is read again
    analyse(ledger)
    assert states(ledger, "1.1") == ["paired"]
    assert partners(ledger) == ["1.2.1"]
    assert sorted(reports_due(ledger, clock)) == ["1.1", "1.2"]
    assert ledger.replay("1.1") == 1
    analyse(ledger)
    assert outcome(ledger, "1.1")[0] == "analysed"
    assert reports_due(ledger, clock) == ["1.1"]
    assert ledger.replay("1.2") == 1
    job = ledger.claim_job("worker", 60)
    assert job is not None
    ledger.quarantine(job, "its pixels are damaged")
    assert partners(ledger) == ["1.3.1"]


def test_nothing_is_lost_or_doubled_by_a_restart(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock, pairing=RULE) as ledger:
        take(ledger, arrival("1.1", 100))
        ledger.record_arrival(arrival("1.2", 98))
        stale = ledger.claim_job("worker", 60)
        assert stale is not None
    with Ledger.open(path, clock, pairing=RULE) as ledger:
        ledger.recover()
        with pytest.raises(node.errors.LeaseLostError):
            ledger.finish_analysis(
                stale, [FindingOutcome(FINDING, "waiting", "", "{}", role=Role.ECG)]
            )
        assert states(ledger, "1.1") == ["waiting"]
        assert pairings(ledger, "1.2") == []
        analyse(ledger)
        assert states(ledger, "1.1") == ["paired"]
        clock.now += QUIET_S
        ledger.complete_due_studies(QUIET_S)
        assert ledger.claim_job("worker", 60) is not None  # and the node dies
    with Ledger.open(path, clock, pairing=RULE) as ledger:
        assert ledger.recover() == 1
        assert sorted(reports_due(ledger, clock)) == ["1.1", "1.2"]
        assert detail(ledger, "1.1").study.revision == 1
        assert len(pairings(ledger, "1.1")) == 1
