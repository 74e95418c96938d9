"""The channel between the control process and a door, and what goes over it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import pytest

from node.arrival.door_clerk import Clerk, DoorServices
from node.arrival.door_ledger import DoorLedger
from node.arrival.door_line import DoorLine
from node.arrival.door_meter import GatheringMeter, add_sums
from node.arrival.header import Header
from node.commitment import CommitmentAnswer
from node.errors import ConfigurationError, LedgerWriteError, StorageFullError
from node.ledger.records import Arrival
from node.ledger.states import AnswerOutcome, ArrivalOutcome
from node.metrics import Metrics
from tests.running_doors import Book

ARRIVAL = Arrival(
    "ab" * 32, 12, "1.2", "1.2.3", "1.2.4", "1.2.5", "1.2.840.10008.1.2", "C\udcffT", "key",
    "ECHO1", False, "born", 1.5,
)  # fmt: skip
Lines = tuple[DoorLine, DoorLine]


@pytest.fixture
def lines() -> Iterator[Lines]:
    pair = [DoorLine(sock) for sock in socket.socketpair()]
    yield pair[0], pair[1]
    for line in pair:
        line.close()


@pytest.fixture
def book(lines: Lines) -> Iterator[Book]:
    """What stands behind the second line."""
    book = Book()
    services = DoorServices(book.record, book.is_own, book.take_answer, Metrics())

    def work() -> None:
        clerk = Clerk(services)
        while messages := lines[1].hear():
            lines[1].say(*clerk.serve(messages))

    worker = threading.Thread(target=work)
    worker.start()
    yield book
    lines[0]._sock.shutdown(socket.SHUT_WR)
    worker.join()


@pytest.fixture
def ledger(lines: Lines, book: Book) -> DoorLedger:
    ledger = DoorLedger(lines[0], GatheringMeter(), "2.25.")

    def listen() -> None:
        while messages := lines[0].hear():
            for message in messages:
                ledger.settle(message)

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    return ledger


def test_messages_come_whole_and_in_order(lines: Lines) -> None:
    sent = [["a", 1], ["b", "x" * 300_000, None], ["c", {"d": 1.5}]]
    sender = threading.Thread(target=lines[0].say, args=sent)
    sender.start()
    heard: list[object] = []
    while len(heard) < 3:
        heard += lines[1].hear()
    sender.join()
    assert heard == sent


def test_nothing_is_heard_after_the_end(lines: Lines) -> None:
    lines[0].say(["last"])
    lines[0].close()
    assert lines[1].hear() == [["last"]]
    assert lines[1].hear() == []
    assert not lines[1].order(["end", 0.0])


def test_an_order_never_waits_for_who_does_not_read(lines: Lines) -> None:
    while lines[0].order(["refresh_tls", False]):
        pass
    assert lines[1].hear()[0] == ["refresh_tls", False]


def test_an_arrival_gets_across(ledger: DoorLedger, book: Book) -> None:
    assert ledger.record(ARRIVAL, None) is ArrivalOutcome.STORED
    assert book.arrivals == [ARRIVAL]


def test_many_ask_at_a_time(ledger: DoorLedger, book: Book) -> None:
    arrivals = [replace(ARRIVAL, sop_instance_uid=f"1.2.{n}") for n in range(200)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda each: ledger.record(each, "damaged"), arrivals))
    assert outcomes == [ArrivalOutcome.STORED] * 200
    assert sorted(book.arrivals, key=str) == sorted(arrivals, key=str)


def test_an_answer_about_commitment_gets_across(ledger: DoorLedger, book: Book) -> None:
    answer = CommitmentAnswer("2.25.7", frozenset({"1.2", "1.3"}), {"1.4": 0x0112})
    assert ledger.take_answer(answer) is AnswerOutcome.TAKEN
    assert book.answers == [answer]


def test_results_of_ours_are_looked_up(ledger: DoorLedger, book: Book) -> None:
    assert ledger.is_own(Mock(Header, sop_instance_uid="2.25.9"))
    assert not ledger.is_own(Mock(Header, sop_instance_uid="1.2.9"))
    assert book.asked == ["2.25.9"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (StorageFullError("full"), StorageFullError("full")),
        (LedgerWriteError("closed"), LedgerWriteError("closed")),
        (ConfigurationError(["x"]), LedgerWriteError("x")),
        (ValueError("PATIENT"), LedgerWriteError("The control process failed (ValueError).")),
    ],
)
def test_errors_get_across_by_name(
    ledger: DoorLedger, book: Book, raised: Exception, expected: Exception
) -> None:
    def fail() -> None:
        raise raised

    book.before = fail
    with pytest.raises(type(expected)) as caught:
        ledger.record(ARRIVAL, None)
    assert type(caught.value) is type(expected)
    assert str(caught.value) == str(expected)


def test_without_a_control_process_nothing_is_recorded(lines: Lines) -> None:
    lines[1].close()
    with pytest.raises(LedgerWriteError):
        DoorLedger(lines[0], GatheringMeter(), "2.25.").record(ARRIVAL, None)


def test_sums_are_added_once() -> None:
    meter, metrics = GatheringMeter(), Metrics()
    meter.count("accept_failures_total")
    meter.count("store_bytes_total", 5, ae="A")
    meter.count("store_bytes_total", 6, ae="A")
    meter.observe("store_duration_seconds", 0.5)
    meter.observe("store_duration_seconds", 0.25)
    for _ in range(2):
        add_sums(meter.take(), metrics)
    text = metrics.exposition().decode()
    assert "node_accept_failures_total 1.0" in text
    assert 'node_store_bytes_total{ae="A"} 11.0' in text
    assert "node_store_duration_seconds_count 2.0" in text
    assert "node_store_duration_seconds_sum 0.75" in text
