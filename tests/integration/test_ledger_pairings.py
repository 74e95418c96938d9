"""Pairing across studies in a real ledger: order, nearer ECGs, expiry, conflicts, restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import LeaseLostError
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, FindingOutcome
from node.pairing import Role
from tests.pairing_ledger import (
    DAY,
    FINDING,
    QUIET_S,
    RULE,
    VirtualClock,
    analyse,
    arrival,
    detail,
    outcome,
    pairings,
    partners,
    report,
    reports_due,
    states,
    take,
)  # fmt: skip


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
    with pytest.raises(LeaseLostError):
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
        with pytest.raises(LeaseLostError):
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
