"""The worker: every way in which a job can end leaves a state with a reason."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from node.errors import BadObjectError, DecoderDiedError, HostDiedError, PermanentError
from node.ledger.jobs import MAX_LOST_LEASES
from node.ledger.ledger import Ledger
from node.ledger.records import ANY_FINDING, Arrival, FindingOutcome
from node.pipeline import Analysis, Pipeline
from node.rush import Rush
from node.worker import Worker

NOW = 1_000_000.0
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.3.1"
TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Stages:
    """Stands where the pipeline is: does what the test says."""

    def __init__(self, analyse: Callable[[], Analysis]) -> None:
        self._analyse = analyse

    def analyse(self, instance: Any) -> Analysis:
        return self._analyse()

    def report(self, *_: Any) -> list[Any]:
        return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


def arrival(sop_class_uid: str = ULTRASOUND) -> Arrival:
    return Arrival(
        "a" * 64, 1, sop_class_uid, "1.2.3", "1.2.4", "1.2.5", "1.2.840.10008.1.2.1", "US", "",
        "ECHO", False,
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", clock) as opened:
        opened.record_arrival(arrival())
        yield opened


def worker(ledger: Ledger, clock: Clock, analyse: Callable[[], Analysis]) -> Worker:
    return Worker("w", ledger, cast(Pipeline, Stages(analyse)), (), clock)


def failing(error: Exception) -> Callable[[], Analysis]:
    def analyse() -> Analysis:
        raise error

    return analyse


def counts(ledger: Ledger, what: str) -> dict[str, int]:
    return {state: n for state, n in ledger.counts()[what].items() if n}


def test_analysis_ends_in_its_outcomes(ledger: Ledger, clock: Clock) -> None:
    outcome = FindingOutcome("echo_view", "not_analysed", "too dark")
    one = worker(ledger, clock, lambda: Analysis((outcome,)))
    assert one.work_once()
    assert not one.work_once()
    assert counts(ledger, "jobs") == {"done": 1}
    assert [o.reason for _, o in ledger.study_outcomes("1.2.5")] == ["too dark"]


def test_bad_object_is_quarantined_with_its_reason(ledger: Ledger, clock: Clock) -> None:
    worker(ledger, clock, failing(BadObjectError("frames are cut off"))).work_once()
    assert counts(ledger, "instances") == {"quarantined": 1}
    study = ledger.study("1.2.5")
    assert study is not None and study.instances[0].row.reason == "frames are cut off"


def test_decoder_death_is_tried_once_more_then_quarantined(ledger: Ledger, clock: Clock) -> None:
    one = worker(ledger, clock, failing(DecoderDiedError("killed by signal 11")))
    one.work_once()
    assert counts(ledger, "jobs") == {"retry": 1}
    clock.now += 3600
    one.work_once()
    assert counts(ledger, "instances") == {"quarantined": 1}


def test_dead_host_is_tried_again_later(ledger: Ledger, clock: Clock) -> None:
    one = worker(ledger, clock, failing(HostDiedError()))
    one.work_once()
    assert counts(ledger, "jobs") == {"retry": 1}
    assert not one.work_once()
    clock.now += 3600
    assert one.work_once()


def test_bug_fails_the_job_and_not_the_worker(ledger: Ledger, clock: Clock) -> None:
    one = worker(ledger, clock, failing(ZeroDivisionError("secret")))
    assert one.work_once()
    assert counts(ledger, "jobs") == {"failed": 1}
    study = ledger.study("1.2.5")
    assert study is not None
    assert "ZeroDivisionError" in study.jobs[0].reason and "secret" not in study.jobs[0].reason


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_a_disk_that_fails_is_tried_again(ledger: Ledger, clock: Clock, code: int) -> None:
    one = worker(ledger, clock, failing(OSError(code, os.strerror(code), "/secret")))
    assert one.work_once()
    assert counts(ledger, "jobs") == {"retry": 1}
    study = ledger.study("1.2.5")
    assert study is not None
    assert errno.errorcode[code] in study.jobs[0].reason and "secret" not in study.jobs[0].reason


def test_a_file_that_is_gone_fails_the_job(ledger: Ledger, clock: Clock) -> None:
    assert worker(ledger, clock, failing(FileNotFoundError(2, "no", "/secret"))).work_once()
    assert counts(ledger, "jobs") == {"failed": 1}


def test_lost_lease_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    outcome = FindingOutcome("echo_view", "not_analysed", "late")

    def slow() -> Analysis:
        clock.now += 10_000
        ledger.requeue_expired_leases()
        return Analysis((outcome,))

    assert worker(ledger, clock, slow).work_once()
    assert ledger.study_outcomes("1.2.5") == []
    assert counts(ledger, "jobs").keys() <= {"retry", "waiting"}


@pytest.mark.parametrize(
    "error", [BadObjectError("frames are cut off"), ZeroDivisionError(), PermanentError("no")]
)
def test_an_analysis_that_was_given_up_is_told_in_a_report(
    ledger: Ledger, clock: Clock, error: Exception
) -> None:
    worker(ledger, clock, failing(error)).work_once()
    ((row, outcome),) = ledger.study_outcomes("1.2.5")
    assert (row.sop_instance_uid, outcome.finding, outcome.state) == (
        "1.2.3",
        ANY_FINDING,
        "failed",
    )
    assert outcome.reason
    clock.now += 60
    assert ledger.complete_due_studies(30) == ["1.2.5"]
    assert counts(ledger, "jobs") == {"failed": 1, "waiting": 1}


def test_workers_that_die_on_an_instance_are_told_in_a_report(ledger: Ledger, clock: Clock) -> None:
    for _ in range(MAX_LOST_LEASES):
        assert ledger.claim_job("w", 1.0) is not None
        clock.now += 10
        ledger.requeue_expired_leases()
    ((_, outcome),) = ledger.study_outcomes("1.2.5")
    assert outcome.state == "failed" and "given up" in outcome.reason


def test_a_text_that_can_not_be_read_is_no_reason_for_a_report(
    tmp_path: Path, clock: Clock
) -> None:
    with Ledger.open(tmp_path / "another.sqlite", clock) as ledger:
        ledger.record_arrival(arrival(TEXT_SR))
        worker(ledger, clock, failing(BadObjectError("no transfer syntax"))).work_once()
        assert [o.state for _, o in ledger.study_outcomes("1.2.5")] == ["not_applicable"]
        clock.now += 60
        ledger.complete_due_studies(30)
        assert counts(ledger, "jobs") == {"failed": 1}


def test_what_a_retry_finds_replaces_the_failure(ledger: Ledger, clock: Clock) -> None:
    worker(ledger, clock, failing(ZeroDivisionError())).work_once()
    assert ledger.retry_dead() == 1
    found = FindingOutcome("echo_view", "analysed", "", "{}")
    worker(ledger, clock, lambda: Analysis((found,))).work_once()
    assert [o for _, o in ledger.study_outcomes("1.2.5")] == [found]


def test_no_job_is_begun_while_instances_rush_in(ledger: Ledger, clock: Clock) -> None:
    """Nor are workers woken for it: each look would take the lock that arrivals wait for."""
    begun = threading.Event()
    now, looks = [100.0], threading.Semaphore(0)

    def rushing_clock() -> float:
        looks.release()
        return now[0]

    def analyse() -> Analysis:
        begun.set()
        return Analysis(())

    rush = Rush(60.0, lull_s=0.02, clock=rushing_clock)
    rush.arrived()
    one = Worker("w", ledger, cast(Pipeline, Stages(analyse)), (), clock, rush=rush)
    one.start()
    try:
        for _ in range(10):  # It looks again and again, and finds that the burst goes on.
            assert looks.acquire(timeout=10)
            one.wake()
        assert not begun.is_set()
        now[0] += 1.0
        assert begun.wait(10)
    finally:
        assert one.stop(10)
