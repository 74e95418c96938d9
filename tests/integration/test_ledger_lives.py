"""The ledger tells of the node's own lives, in the story of the studies that they concern."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger.ledger import Ledger
from tests.ledger_with_study import DESTINATIONS, STUDY, fill_ledger, make_arrival


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def _of_node(ledger: Ledger, study: str = STUDY) -> list[str]:
    return [each.what for each in ledger.events(study) if each.subject == "node"]


def test_a_crash_is_told_where_it_cut_an_attempt_off(path: Path, clock: _Clock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 1))
        assert ledger.claim_job("worker-1", 60.0) is not None
    clock.now += 12.5
    with Ledger.open(path, clock) as ledger:
        assert ledger.recover() == 1
        died, started, cut_off = ledger.events(STUDY)[-3:]
    assert (died.subject, died.what) == ("node", "died")
    assert "12.5 s before" in died.detail
    assert (started.subject, started.what) == ("node", "started")
    assert (cut_off.subject, cut_off.what) == ("analyse job 1", "retry")
    assert cut_off.detail == "attempt 1 by worker-1 was cut off: the node was restarted"


def test_a_delivery_that_was_cut_off_says_so(path: Path, clock: _Clock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        fill_ledger(ledger, clock)
        assert ledger.claim_delivery(DESTINATIONS[0], 60.0) is not None
        assert ledger.events(STUDY)[-1].what == "sending"
    with Ledger.open(path, clock) as ledger:
        assert ledger.recover() == 1
        last = ledger.events(STUDY)[-1]
    assert last.what == "retry"
    assert "attempt 1 was cut off: the node was restarted" in last.detail
    assert "whether the object arrived is unknown" in last.detail


def test_an_end_that_was_asked_for_is_no_death(path: Path, clock: _Clock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 1))
        ledger.note_end()
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 2))
        assert _of_node(ledger) == ["stopped", "started"]


def test_studies_are_not_told_of_other_times(path: Path, clock: _Clock) -> None:
    other = f"{STUDY}.7"
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 1))
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(other, 1))
        assert _of_node(ledger) == _of_node(ledger, other) == []


def test_a_clock_that_was_set_back_gives_no_time_of_death(path: Path, clock: _Clock) -> None:
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 1))
    clock.now -= 3600.0
    with Ledger.open(path, clock) as ledger:
        ledger.recover()
        ledger.record_arrival(make_arrival(STUDY, 2))
        (died,) = [each for each in ledger.events(STUDY) if each.what == "died"]
    assert "killed" in died.detail
    assert " s before" not in died.detail
