"""The ledger on real SQLite files: each transition, and what it refuses."""

from __future__ import annotations

import hashlib
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert

import node.ledger
from node.errors import (
    InvalidResultError,
    LeaseLostError,
    LedgerError,
    LedgerWriteError,
    StorageFullError,
)
from node.ledger import engine as ledger_engine
from node.ledger import writer as ledger_writer
from node.ledger.deliveries import claim_delivery as claim_next
from node.ledger.jobs import claim_job
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, Delivery, FindingOutcome, Job, StoredObject, StudyDetail
from node.ledger.states import ArrivalOutcome, DispositionState, JobKind
from node.ledger.tables import SCHEMA_REVISION, metadata, studies
from node.ledger.writer import Statement, Transaction

STUDY = "1.2.3"
QUIET_S = 10.0
TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
ANALYSED = FindingOutcome("echo_view", "analysed", "", '{"view": "A4C"}', 1.5)
NOT_ANALYSED = FindingOutcome("ejection_fraction", "not_analysed", "one frame only")
NOT_APPLICABLE = FindingOutcome("septal_flash", "not_applicable", "not an echo clip")


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
    with Ledger.open(path, clock) as opened:
        yield opened


def arrival(number: int = 1, study: str = STUDY, content: str = "") -> Arrival:
    return Arrival(
        sha256=hashlib.sha256(f"{study}/{number}/{content}".encode()).hexdigest(),
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


def report(revision: int = 1, finding: str = "echo_view") -> StoredObject:
    return StoredObject(
        kind="sr",
        finding=finding,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        sop_instance_uid=f"2.25.{revision}.{len(finding)}",
        series_instance_uid="2.25.9",
        study_instance_uid=STUDY,
        series_number=9001,
        sha256="ab" * 32,
        size_bytes=5000,
        path=f"results/{revision}.dcm",
    )


def capture(number: int = 1) -> StoredObject:
    return replace(
        report(),
        kind="capture",
        sop_instance_uid=f"2.25.7.{number}",
        instance_sop_uid=f"{STUDY}.{number}",
    )


def claim(ledger: Ledger) -> Job:
    job = ledger.claim_job("worker", 60)
    assert job is not None
    return job


def claim_delivery(ledger: Ledger, destination: str = "pacs") -> Delivery:
    delivery = ledger.claim_delivery(destination, 60)
    assert delivery is not None
    return delivery


def detail(ledger: Ledger) -> StudyDetail:
    found = ledger.study(STUDY)
    assert found is not None
    return found


def dispositions(ledger: Ledger) -> list[tuple[str, str]]:
    return [
        (each.disposition.state.value, each.disposition.reason) for each in detail(ledger).instances
    ]


def happened(ledger: Ledger) -> list[tuple[str, str]]:
    return [(each.subject, each.what) for each in ledger.events(STUDY)]


def analyse(ledger: Ledger, *outcomes: FindingOutcome) -> None:
    ledger.finish_analysis(claim(ledger), outcomes or [ANALYSED])


def complete(ledger: Ledger, clock: VirtualClock) -> None:
    clock.now += QUIET_S
    assert ledger.complete_due_studies(QUIET_S) == [STUDY]


def to_outbox(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    analyse(ledger)
    complete(ledger, clock)
    ledger.finish_report(claim(ledger), [report()], ["pacs"])


def test_the_whole_way(ledger: Ledger, clock: VirtualClock) -> None:
    assert ledger.record_arrival(arrival(1)) is ArrivalOutcome.STORED
    assert ledger.record_arrival(arrival(2)) is ArrivalOutcome.STORED
    first = claim(ledger)
    assert first.instance is not None
    assert first.instance.sop_instance_uid == f"{STUDY}.1"
    ledger.finish_analysis(first, [ANALYSED, NOT_APPLICABLE], [capture()])
    clock.now += QUIET_S
    assert ledger.complete_due_studies(QUIET_S) == []  # the second instance is not analysed
    analyse(ledger, NOT_ANALYSED)
    assert dispositions(ledger)[0][0] == "pending"
    assert ledger.complete_due_studies(QUIET_S) == [STUDY]
    job = claim(ledger)
    assert (job.kind, job.revision, job.instance) == (JobKind.REPORT, 1, None)
    assert [(i.id, o) for i, o in ledger.study_outcomes(STUDY)] == [
        (1, ANALYSED),
        (1, NOT_APPLICABLE),
        (2, NOT_ANALYSED),
    ]
    captures = ledger.study_captures(STUDY)
    assert captures == [capture()]
    ledger.finish_report(job, [*captures, report()], ["pacs", "archive"])
    for destination in ("archive", "pacs"):
        for stored in (capture(), report()):
            delivery = claim_delivery(ledger, destination)
            assert delivery.object == stored
            assert ledger.claim_delivery(destination, 60) is None  # in order, one by one
            ledger.delivery_sent(delivery, "0x0000")
    assert dispositions(ledger) == [("sent", "reported to pacs, archive")] * 2
    assert ledger.find_own_object(report().sop_instance_uid)
    assert not ledger.find_own_object("1.2.3.1")
    assert ledger.counts() == {
        "instances": {"received": 0, "decoded": 2, "quarantined": 0},
        "studies": {"open": 0, "complete": 1},
        "jobs": {
            "waiting": 0,
            "running": 0,
            "done": 3,
            "retry": 0,
            "failed": 0,
            "not_applicable": 0,
        },
        "deliveries": {"waiting": 0, "sent": 4, "committed": 0, "retry": 0, "dead": 0},
        "pairings": {"waiting": 0, "paired": 0, "expired": 0, "superseded": 0},
        "commitments": {"asking": 0, "asked": 0, "answered": 0, "unanswered": 0, "refused": 0},
    }
    assert [each.revision for each in ledger.study_results(STUDY)] == [1, 1]
    assert ledger.recent_studies()[0].revision == 1


def test_duplicates_and_conflicts(ledger: Ledger) -> None:
    assert ledger.record_arrival(arrival()) is ArrivalOutcome.STORED
    assert ledger.record_arrival(arrival()) is ArrivalOutcome.DUPLICATE
    assert ledger.record_arrival(arrival(content="x")) is ArrivalOutcome.CONFLICT
    assert ledger.record_arrival(arrival(content="x")) is ArrivalOutcome.DUPLICATE
    assert [each.row.conflict for each in detail(ledger).instances] == [False, True]
    state, reason = dispositions(ledger)[1]
    assert state == "quarantined"
    assert "other bytes" in reason
    assert len(detail(ledger).jobs) == 1
    assert ("instance 2", "conflict") in happened(ledger)
    assert ("instance 2", "duplicate") in happened(ledger)
    assert ledger.has_blob(arrival(content="x").sha256)
    assert not ledger.has_blob("00")


def test_the_same_object_from_eight_senders_is_one_job(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as senders:
        outcomes = list(senders.map(ledger.record_arrival, [arrival()] * 8))
    assert sorted(outcomes) == ["duplicate"] * 7 + ["stored"]
    assert len(detail(ledger).jobs) == 1


def test_a_late_instance_makes_a_new_revision(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    ledger.delivery_sent(claim_delivery(ledger), "0x0000")
    ledger.record_arrival(arrival(2))
    assert detail(ledger).study.state == "open"
    assert ledger.events(STUDY)[-2].detail == "instance 2 arrived late"
    analyse(ledger)
    complete(ledger, clock)
    job = claim(ledger)
    assert job.revision == 2
    ledger.finish_report(job, [report(), report(2, "septal_flash")], ["pacs"])
    # The first object's UID is at the destination already: only the new one is sent.
    assert [each.state.value for each in detail(ledger).deliveries] == ["sent", "waiting"]
    assert claim_delivery(ledger).object == report(2, "septal_flash")


def test_a_late_instance_stops_a_report_that_is_being_made(
    ledger: Ledger, clock: VirtualClock
) -> None:
    ledger.record_arrival(arrival())
    analyse(ledger)
    complete(ledger, clock)
    job = claim(ledger)
    ledger.record_arrival(arrival(2))
    with pytest.raises(LeaseLostError):
        ledger.finish_report(job, [report()], ["pacs"])
    analyse(ledger)
    complete(ledger, clock)
    assert claim(ledger).revision == 1
    assert detail(ledger).results == ()


def test_a_late_instance_without_news_makes_no_report(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    ledger.record_arrival(arrival(2))
    analyse(ledger, NOT_APPLICABLE)
    complete(ledger, clock)
    assert ledger.claim_job("worker", 60) is None
    assert ledger.events(STUDY)[-1].detail == "nothing new since the last report"


def test_nothing_to_report(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival(1), "no_identity: PatientID is missing")
    for number in (2, 3, 4):
        # of an image that can't be read, a report would say so
        ledger.record_arrival(replace(arrival(number), sop_class_uid=TEXT_SR))
    ledger.quarantine(claim(ledger), "pixel data is shorter than declared")
    analyse(ledger, NOT_APPLICABLE)
    ledger.fail_job(claim(ledger), "the decoder died", None)
    complete(ledger, clock)
    assert ledger.claim_job("worker", 60) is None
    last = ledger.events(STUDY)[-1]
    assert (last.what, last.detail) == (
        "nothing to report",
        "1 to which no finding applies, 2 quarantined, 1 whose analysis failed",
    )
    assert dispositions(ledger) == [
        ("quarantined", "no_identity: PatientID is missing"),
        ("quarantined", "pixel data is shorter than declared"),
        ("no_route", "not an echo clip"),
        ("failed", "the analysis was given up: the decoder died"),
    ]
    assert ledger.counts()["jobs"]["failed"] == 2
    assert ledger.counts()["jobs"]["not_applicable"] == 1


def test_an_own_result_that_comes_back_ends_there(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    back = replace(arrival(9), own_result=True, patient_key="coerced by the archive")
    assert ledger.record_arrival(back) is ArrivalOutcome.STORED
    assert detail(ledger).study.state == "complete"
    assert not detail(ledger).study.identity_conflict
    assert dispositions(ledger)[1] == ("no_route", "a result of this node")
    assert ledger.claim_job("worker", 60) is None


def test_two_patients_in_one_study_get_no_report(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    delivery = claim_delivery(ledger)
    ledger.record_arrival(replace(arrival(2), patient_key="bb"))
    with pytest.raises(LeaseLostError):
        ledger.delivery_sent(delivery, "0x0000")
    analyse(ledger)
    complete(ledger, clock)
    assert ledger.claim_job("worker", 60) is None
    assert ledger.claim_delivery("pacs", 60) is None
    assert ledger.retry_dead() == 0
    assert ("study", "identity conflict") in happened(ledger)
    assert happened(ledger)[-1] == ("study", "no report")
    assert {state for state, _ in dispositions(ledger)} == {"quarantined"}


def test_a_lost_lease_changes_nothing(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    stale = claim(ledger)
    clock.now += 59
    ledger.heartbeat(stale, 60)
    clock.now += 59
    assert ledger.requeue_expired_leases() == 0
    clock.now += 2
    assert ledger.requeue_expired_leases() == 1
    current = claim(ledger)
    assert current.attempt == 2
    assert current.created_at == stale.created_at
    assert current.fence > stale.fence
    before = happened(ledger)
    with pytest.raises(LeaseLostError):
        ledger.heartbeat(stale, 60)
    with pytest.raises(LeaseLostError):
        ledger.finish_analysis(stale, [ANALYSED], [capture()])
    with pytest.raises(LeaseLostError):
        ledger.quarantine(stale, "broken")
    with pytest.raises(LeaseLostError):
        ledger.fail_job(stale, "broken", None)
    assert happened(ledger) == before
    assert ledger.study_captures(STUDY) == []
    ledger.finish_analysis(current, [ANALYSED])


def test_a_restart_voids_leases_and_a_poisonous_job_is_given_up(
    path: Path, clock: VirtualClock
) -> None:
    for restart in range(6):
        with Ledger.open(path, clock) as ledger:
            if restart == 0:
                ledger.record_arrival(arrival())
            else:
                assert ledger.recover() == 1
            if restart < 5:
                claim(ledger)
            else:
                assert ledger.claim_job("worker", 60) is None
                state, reason = dispositions(ledger)[0]
                assert state == "failed"
                assert "5 workers were lost" in reason
                assert ledger.retry_dead() == 1
                assert claim(ledger).attempt == 1


def test_a_retry_waits_for_its_time(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    ledger.fail_job(claim(ledger), "the host died", clock.now + 5)
    assert ledger.claim_job("worker", 60) is None
    assert dispositions(ledger)[0] == (
        "pending",
        "the analysis will be tried again: the host died",
    )
    clock.now += 5
    assert claim(ledger).attempt == 2


def test_a_clock_that_was_set_back_parks_nothing(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.record_arrival(arrival(1))
        ledger.record_arrival(arrival(2))
        ledger.fail_job(claim(ledger), "the host died", clock.now + 60)
        analyse(ledger)
    clock.now -= 86_400
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        clock.now += 3600
        analyse(ledger)
        assert ledger.complete_due_studies(QUIET_S) == [STUDY]


def test_deliveries_retry_die_and_are_revived(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    delivery = claim_delivery(ledger)
    ledger.delivery_retry(delivery, "refused: 0xA900", clock.now + 5, permanent=True)
    assert ledger.claim_delivery("pacs", 60) is None
    clock.now += 5
    delivery = claim_delivery(ledger)
    assert (delivery.attempt, delivery.permanent_refusals) == (2, 1)
    assert delivery.first_attempt_at == clock.now - 5
    ledger.delivery_dead(delivery, "refused: 0xA900")
    assert dispositions(ledger)[0] == (
        "failed",
        "the delivery to pacs was given up: refused: 0xA900",
    )
    assert ledger.retry_dead("1.9") == 0
    assert ledger.retry_dead(STUDY) == 1
    delivery = claim_delivery(ledger)
    assert (delivery.attempt, delivery.permanent_refusals) == (1, 0)
    clock.now += 61
    assert ledger.requeue_expired_leases() == 1
    again = claim_delivery(ledger)
    with pytest.raises(LeaseLostError):
        ledger.delivery_sent(delivery, "0x0000")
    ledger.delivery_sent(again, "0x0000")
    assert dispositions(ledger)[0][0] == "sent"


def test_a_dead_destination_does_not_hold_up_another(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    analyse(ledger)
    complete(ledger, clock)
    ledger.finish_report(claim(ledger), [capture(), report()], ["pacs", "archive"])
    ledger.delivery_retry(claim_delivery(ledger), "no answer", clock.now + 900, permanent=False)
    assert ledger.claim_delivery("pacs", 60) is None  # the report stays behind its capture
    for _ in range(2):
        ledger.delivery_sent(claim_delivery(ledger, "archive"), "written")
    assert dispositions(ledger)[0] == ("pending", "the delivery to pacs is not done: no answer")
    archive, pacs = ledger.destination_queues()
    assert (archive.waiting, archive.sent, archive.last_problem) == (0, 2, "")
    assert (pacs.waiting, pacs.sent, pacs.last_problem) == (2, 0, "no answer")
    assert ledger.oldest_unfinished() == {"delivery to pacs": clock.now}


def test_a_report_that_was_given_up_is_retried(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    analyse(ledger)
    complete(ledger, clock)
    ledger.fail_job(claim(ledger), "the report is not valid", None)
    assert dispositions(ledger)[0] == (
        "failed",
        "the report was given up: the report is not valid",
    )
    assert ledger.retry_dead() == 1
    ledger.finish_report(claim(ledger), [report()], [])
    assert dispositions(ledger)[0] == ("no_route", "the report has nowhere to go")


def test_replay_makes_a_new_revision(ledger: Ledger, clock: VirtualClock) -> None:
    to_outbox(ledger, clock)
    ledger.delivery_sent(claim_delivery(ledger), "0x0000")
    ledger.record_arrival(arrival(content="x"))
    ledger.record_arrival(arrival(3), "no_identity")
    assert ledger.replay("1.9") == 0
    assert ledger.replay(STUDY) == 1
    assert ledger.replay(STUDY) == 0  # it is under way
    assert ledger.study_outcomes(STUDY) == []
    analyse(ledger)
    complete(ledger, clock)
    job = claim(ledger)
    assert job.revision == 2
    ledger.finish_report(job, [report()], ["pacs"])
    assert ledger.claim_delivery("pacs", 60) is None  # the same UID is there already
    assert dispositions(ledger)[0][0] == "sent"


def test_twin_reports_are_refused(ledger: Ledger, clock: VirtualClock) -> None:
    ledger.record_arrival(arrival())
    analyse(ledger)
    complete(ledger, clock)
    job = claim(ledger)
    with pytest.raises(InvalidResultError, match="two reports"):
        ledger.finish_report(job, [report(1), report(2)], ["pacs"])
    with pytest.raises(InvalidResultError, match="same SOP Instance UID"):
        ledger.finish_report(job, [capture(), capture()], ["pacs"])
    ledger.finish_report(job, [report()], ["pacs"])


def test_disposition_of_one_instance(ledger: Ledger) -> None:
    ledger.record_arrival(arrival())
    found = ledger.instance_disposition(1)
    assert found is not None
    assert found.state is DispositionState.PENDING
    assert ledger.instance_disposition(2) is None
    assert ledger.study("1.9") is None


# ---- the file and the writer


def test_status_reads_beside_a_running_node_and_after_it(path: Path, clock: VirtualClock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.record_arrival(arrival(1))
        with Ledger.open(path, read_only=True) as onlooker:
            ledger.record_arrival(arrival(2))
            assert onlooker.counts()["instances"]["received"] == 2
            assert not onlooker.healthy
            with pytest.raises(LedgerWriteError, match="reading only"):
                onlooker.record_arrival(arrival(3))
    assert not path.with_name("ledger.sqlite-wal").exists()
    with Ledger.open(path, read_only=True) as onlooker:
        assert onlooker.counts()["instances"]["received"] == 2
    with pytest.raises(LedgerError, match="no ledger yet"):
        Ledger.open(path.with_name("none.sqlite"), read_only=True)


def test_what_was_recorded_survives_kill(path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from node.ledger.ledger import Ledger; from node.ledger.records import Arrival\n"
        "ledger = Ledger.open(pathlib.Path(sys.argv[1]))\n"
        "for n in range(5):\n"
        "    one = Arrival(str(n), 1, '', f'1.{n}', '', '1', '', '', '', '', False)\n"
        "    ledger.record_arrival(one)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(node.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=root).returncode == -9
    with Ledger.open(path, read_only=True) as onlooker:
        assert onlooker.counts()["instances"]["received"] == 5
    with Ledger.open(path) as ledger:
        assert ledger.recover() == 0
        assert ledger.counts()["jobs"]["waiting"] == 5


def test_a_prepared_statement_that_is_refused_breaks_nothing(ledger: Ledger) -> None:
    lacking = Statement(insert(studies), ("study_uid",))
    with pytest.raises(LedgerWriteError, match="NOT NULL"):
        ledger._change(lambda tx: tx.run(lacking, {"study_uid": "1.2"}))
    assert ledger.healthy
    assert ledger.study("1.2") is None


def test_the_writer_is_durable(ledger: Ledger) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "wal_autocheckpoint": 1000,
        "journal_size_limit": 64 * 1024 * 1024,
        "trusted_schema": 0,
    }

    def read(tx: Transaction) -> dict[str, object]:
        return {name: tx.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}

    assert ledger._change(read) == wanted


def test_claims_do_not_sort_or_scan_the_backlog(ledger: Ledger, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    asked: list[str] = []

    def plan(tx: Transaction) -> None:
        driver = tx.connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            pytest.fail("not SQLite")
        driver.set_trace_callback(asked.append)
        claim_job(tx, "worker", 60)
        claim_next(tx, "pacs", 60)
        driver.set_trace_callback(None)

    ledger._change(plan)
    with engine.connect() as connection:
        plans = {
            query: [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
            for query in asked
            if query.lstrip().startswith("SELECT")
        }
    engine.dispose()
    assert len(plans) == 2
    for steps in plans.values():
        assert "ix_" in steps[0]
        assert "claimable" in steps[0]
        assert "B-TREE" not in " ".join(steps)


def test_migrations_lead_to_the_tables(ledger: Ledger, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    config = Config()
    config.set_main_option(
        "script_location",
        str(Path(node.ledger.__file__).parent / "migrations").replace("%", "%%"),
    )
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_REVISION


def test_a_newer_schema_is_refused(path: Path) -> None:
    Ledger.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(LedgerError, match="newer cardionode"):
        Ledger.open(path)
    with pytest.raises(LedgerError, match="schema 9999"):
        Ledger.open(path, read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_damaged_file_is_refused(path: Path, read_only: bool) -> None:
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError):
        Ledger.open(path, read_only=read_only)


def test_a_damaged_page_is_refused(path: Path) -> None:
    with Ledger.open(path) as ledger:
        for number in range(50):
            ledger.record_arrival(arrival(number))
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xff" * 4096 * 5
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        Ledger.open(path)


def test_a_batch_of_arrivals_has_an_outcome_for_each(ledger: Ledger) -> None:
    lacking = replace(arrival(2), modality=None)  # type: ignore[arg-type]
    batch = [arrival(1), lacking, arrival(1), arrival(3), arrival(3, content="other")]
    stored, refused, *others = ledger.record_arrivals([(each, None) for each in batch])
    assert stored is ArrivalOutcome.STORED
    assert isinstance(refused, LedgerWriteError)
    assert others == [ArrivalOutcome.DUPLICATE, ArrivalOutcome.STORED, ArrivalOutcome.CONFLICT]
    assert ledger.record_arrivals([]) == []
    many = [(arrival(number), "damaged") for number in range(10, 310)]
    assert set(ledger.record_arrivals(many)) == {ArrivalOutcome.STORED}
    assert ledger.counts()["instances"]["quarantined"] == 301


def test_a_closed_ledger_refuses_each_of_a_batch(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    outcomes = ledger.record_arrivals([(arrival(number), None) for number in range(3)])
    assert [type(each) for each in outcomes] == [LedgerWriteError] * 3


def test_one_bad_change_does_not_harm_its_neighbours(ledger: Ledger) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(4) as callers:
        # While the first change waits, the others gather and share the next commit.
        slow = callers.submit(ledger._change, lambda _: gate.wait(10))
        bad = callers.submit(ledger._change, _write_then_fail)
        refused = callers.submit(ledger._change, _violate)
        good = callers.submit(ledger.record_arrival, arrival())
        gate.set()
        assert slow.result()
        assert good.result() is ArrivalOutcome.STORED
        with pytest.raises(ZeroDivisionError):
            bad.result()
        with pytest.raises(LedgerWriteError, match="NOT NULL"):
            refused.result()
    assert ledger.events("9.9") == []
    assert len(ledger.events(STUDY)) == 3


def _write_then_fail(tx: Transaction) -> None:
    tx.event("9.9", "study", "open")
    tx.flush()
    raise ZeroDivisionError


def _violate(tx: Transaction) -> None:
    tx.connection.exec_driver_sql("INSERT INTO outcomes (instance_id) VALUES (77)")


def test_when_the_disk_is_full_every_caller_is_told(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(0))
        ledger._change(lambda tx: _limit_pages(tx, 0))  # 0: what there is, and no more
        stored = 1
        with ThreadPoolExecutor(4) as callers:
            futures = [callers.submit(ledger.record_arrival, arrival(n)) for n in range(1, 200)]
        failures = [each.exception() for each in futures]
        assert {type(each) for each in failures if each} == {StorageFullError}
        stored += failures.count(None)
        assert ledger.healthy
        ledger._change(lambda tx: _limit_pages(tx, 100_000))
        ledger.check_writable()
        assert ledger.counts()["instances"]["received"] == stored
        assert ledger.record_arrival(arrival(500)) is ArrivalOutcome.STORED


def _limit_pages(tx: Transaction, pages: int) -> None:
    there = tx.connection.exec_driver_sql("PRAGMA page_count").scalar()
    tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages or there}")


def test_a_closed_ledger_refuses(path: Path) -> None:
    ledger = Ledger.open(path)
    ledger.close()
    ledger.close()
    assert not ledger.healthy
    with pytest.raises(LedgerWriteError, match="closed"):
        ledger.record_arrival(arrival())


def test_no_sqlite_file_opens_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="can't be opened"):
        Ledger.open(tmp_path / "missing" / "ledger.sqlite")


def test_a_ledger_whose_disk_failed_works_again_when_the_disk_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_writer, "MEND_EVERY_S", 0.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(0))
        wal_bytes = Path(f"{path}-wal").stat().st_size
        # Of files that are full the system tells as it does of disks that fail.
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal_bytes, hard))
        try:
            for number in (1, 2):
                with pytest.raises(LedgerWriteError):
                    ledger.record_arrival(arrival(number))
            assert not ledger.healthy
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.record_arrival(arrival(1)) is ArrivalOutcome.STORED
        ledger.check_writable()
        assert ledger.counts()["instances"]["received"] == 2
    with Ledger.open(path) as ledger:
        assert ledger.counts()["instances"]["received"] == 2


def test_a_ledger_that_is_damaged_meanwhile_stays_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_writer, "MEND_EVERY_S", 0.0)
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(0))
        ledger._change(_break)
        content = bytearray(path.read_bytes())
        content[: 4096 * 3] = b"\xff" * 4096 * 3
        path.write_bytes(content)
        Path(f"{path}-wal").write_bytes(b"")
        for number in (1, 2):
            with pytest.raises(LedgerWriteError):
                ledger.record_arrival(arrival(number))
        assert not ledger.healthy


def _break(tx: Transaction) -> None:
    tx.connection.exec_driver_sql("PRAGMA cache_size = 0")


def test_a_ledger_that_another_program_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_engine, "BUSY_TIMEOUT_S", 0.1)
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(0))
        with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerWriteError, match="locked"):
                ledger.record_arrival(arrival(1))
            assert ledger.counts()["instances"]["received"] == 1
            stranger.execute("ROLLBACK")
        assert ledger.record_arrival(arrival(1)) is ArrivalOutcome.STORED
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match="locked"):
            Ledger.open(path)
