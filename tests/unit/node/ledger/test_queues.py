"""What waits in the ledger, and how destinations do, from a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from node.ledger.engine import open_readers
from node.ledger.ledger import Ledger
from node.ledger.queues import DestinationQueue, destination_queues, oldest_unfinished
from tests.ledger_with_study import DESTINATIONS, fill_ledger, make_arrival


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: _Clock) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", clock) as opened:
        yield opened


@pytest.fixture
def reader(tmp_path: Path, ledger: Ledger) -> Iterator[Connection]:
    engine = open_readers(tmp_path / "ledger.sqlite")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_nothing_waits_in_an_empty_ledger(reader: Connection) -> None:
    assert oldest_unfinished(reader) == {}
    assert destination_queues(reader) == []


def test_the_oldest_of_each_queue(ledger: Ledger, clock: _Clock, reader: Connection) -> None:
    fill_ledger(ledger, clock)
    clock.now = 2000.0
    ledger.record_arrival(make_arrival("1.2.9", 1))
    clock.now = 3000.0
    ledger.record_arrival(make_arrival("1.2.9", 2))
    oldest = oldest_unfinished(reader)
    assert oldest["analyse"] == 2000.0
    assert set(oldest) == {"analyse", *(f"delivery to {name}" for name in DESTINATIONS)}


def test_how_a_destination_does(ledger: Ledger, clock: _Clock, reader: Connection) -> None:
    fill_ledger(ledger, clock)
    queued_at = clock.now
    delivery = ledger.claim_delivery("pacs", 60.0)
    assert delivery is not None
    ledger.delivery_retry(delivery, "no answer", clock.now, permanent=False)
    archive, pacs = destination_queues(reader)
    assert archive == DestinationQueue("archive", 1, 0, 0, queued_at, "")
    assert pacs == DestinationQueue("pacs", 1, 0, 0, queued_at, "no answer")
    again = ledger.claim_delivery("pacs", 60.0)
    assert again is not None
    ledger.delivery_sent(again, "ok")
    reader.rollback()
    assert destination_queues(reader)[1] == DestinationQueue("pacs", 0, 1, 0, None, "")
