"""The status page over real HTTP."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from node.errors import LedgerReadError
from node.ledger.queues import DestinationQueue
from node.ledger.records import StudyRow
from node.ledger.states import StudyState
from node.metrics import Metrics
from node.status_page.app import age, build_app
from node.status_page.server import StatusServer
from node.status_page.snapshot import DestinationLabel, StatusSource

STUDY = "1.2.840.113619.2.55.3.604688119"


class _Ledger:
    def __init__(self) -> None:
        self.problem = ""
        self.error: LedgerReadError | None = None

    def counts(self) -> dict[str, dict[str, int]]:
        if self.error is not None:
            raise self.error
        return {
            "instances": {"received": 1, "decoded": 12, "quarantined": 0},
            "studies": {"open": 1, "complete": 3},
            "jobs": {"waiting": 2, "not_applicable": 4},
            "deliveries": {"waiting": 5, "dead": 1},
        }

    def recent_studies(self, limit: int = 100) -> list[StudyRow]:
        return [StudyRow(STUDY, StudyState.OPEN, 2, False, 10.0, 40.0, None)][:limit]

    def oldest_unfinished(self) -> dict[str, float]:
        return {"analyse": 35.0}

    def destination_queues(self) -> list[DestinationQueue]:
        return [
            DestinationQueue("pacs", 5, 7, 1, 20.0, self.problem),
            DestinationQueue("gone", 1, 0, 0, 99.0, ""),
        ]


class _Page:
    def __init__(self) -> None:
        self.ledger = _Ledger()
        self.problems: dict[str, str | None] = {"ledger": None, "listener": None}
        source = StatusSource(
            ae_title="CARDIO<b>",
            version="0.1.0",
            ledger=self.ledger,
            study_name=lambda uid: f"name-{len(uid)}",
            destinations=[DestinationLabel("pacs", "c_store", "127.0.0.1:4242")],
            checks={name: lambda name=name: self.problems[name] for name in self.problems},  # type: ignore[misc]
            clock=lambda: 100.0,
        )
        self.server = StatusServer(build_app(source, Metrics()), "127.0.0.1", 0)

    def get(self, path: str) -> tuple[int, str, dict[str, str]]:
        host, port = self.server.address
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), dict(error.headers)

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])


@pytest.fixture
def page() -> Iterator[_Page]:
    served = _Page()
    served.server.start()
    yield served
    served.server.stop()


def test_page_for_people(page: _Page) -> None:
    status, text, headers = page.get("/")
    assert status == 200
    for words in (
        "not applicable",
        "1 min 5 s",
        "127.0.0.1:4242",
        "name-31",
        "no longer configured",
    ):
        assert words in text
    assert STUDY not in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert page.get("/status.css")[2]["content-type"].startswith("text/css")


def test_texts_are_escaped(page: _Page) -> None:
    page.ledger.problem = '<script>alert("x")</script>'
    text = page.get("/")[1]
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "CARDIO&lt;b&gt;" in text


def test_status_for_programs(page: _Page) -> None:
    shown = page.get_json("/status.json")
    assert shown["jobs"] == {"waiting": 2, "not_applicable": 4}
    assert shown["oldest_s"] == {"analyse": 65.0}
    assert shown["recent_studies"][0]["last_arrival_s"] == 60.0
    pacs, gone = shown["destinations"]
    assert (pacs["waiting"], pacs["sent"], pacs["dead"], pacs["oldest_s"]) == (5, 7, 1, 80.0)
    assert gone["kind"] == "no longer configured"
    assert STUDY not in json.dumps(shown)


def test_alive_is_not_ready(page: _Page) -> None:
    assert page.get("/readyz")[0] == 200
    page.problems["ledger"] = "its disk is full"
    status, text, _ = page.get("/readyz")
    assert status == 503
    assert json.loads(text) == {"ready": False, "problems": {"ledger": "its disk is full"}}
    assert page.get("/healthz")[:2] == (200, "ok\n")
    assert "its disk is full" in page.get("/")[1]


def test_a_ledger_that_can_not_be_read_is_said_not_thrown(page: _Page) -> None:
    page.ledger.error = LedgerReadError("The ledger could not be read: disk I/O error.")
    for path in ("/", "/status.json"):
        status, text, headers = page.get(path)
        assert (status, text) == (503, f"{page.ledger.error} See /readyz.\n")
        assert headers["cache-control"] == "no-store"
    assert page.get("/healthz")[0] == 200


def test_metrics(page: _Page) -> None:
    status, text, headers = page.get("/metrics")
    assert status == 200
    assert "node_store_duration_seconds_count 0.0" in text
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


def test_only_reading(page: _Page) -> None:
    assert page.get("/nothing")[0] == 404
    host, port = page.server.address
    request = urllib.request.Request(f"http://{host}:{port}/", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value:
        assert refused.value.code == 405


def test_a_port_in_use_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = _Page()
        page.server._port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            page.server.start()


def test_stopping_frees_the_port(page: _Page) -> None:
    address = page.server.address
    page.server.stop()
    page.server.stop()
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0 s"), (61, "1 min 1 s"), (7500, "2 h 5 min"), (86400, "1 d")],
)
def test_age(seconds: float | None, text: str) -> None:
    assert age(seconds) == text
