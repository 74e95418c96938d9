"""The audit trail: nothing of a peer's choice breaks a line, and no flood fills the disk."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.audit import AuditTrail
from node.logs import logging_to
from node.metrics import Metrics


class _Trail:
    def __init__(self) -> None:
        self.now = 1000.0
        self.stream = io.StringIO()
        self.metrics = Metrics()
        self.audit = AuditTrail(self.metrics, lambda: self.now)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def trail() -> Iterator[_Trail]:
    trail = _Trail()
    # The level is the site's; the trail is written all the same.
    with logging_to(b"k" * 32, "error", trail.stream):
        yield trail


def test_a_line_has_what_an_audit_needs(trail: _Trail) -> None:
    trail.audit.refused(
        "certificate", "10.0.0.9", 2762,
        calling=b"ECHO1           ", called=b"CARDIONODE      ", certificate="ab" * 32,
    )  # fmt: skip
    (line,) = trail.lines
    assert line.pop("ts")
    assert line == {
        "level": "warning",
        "logger": "node.audit",
        "event": "a sender was refused",
        "action": "refused",
        "event_id": "110113 DCM Security Alert",
        "event_type": "110126 DCM Node Authentication",
        "outcome": 4,
        "reason": "certificate",
        "ae": "ECHO1",
        "called_ae": "CARDIONODE",
        "address": "10.0.0.9",
        "port": 2762,
        "certificate": "ab" * 32,
    }


def test_a_full_node_is_no_security_alert(trail: _Trail) -> None:
    trail.audit.refused("local_limit", "10.0.0.9", 11112, is_security=False)
    assert "event_id" not in trail.lines[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=st.binary(max_size=40))
def test_titles_are_short_and_printable(trail: _Trail, title: bytes) -> None:
    trail.now += 1000.0
    before = len(trail.lines)
    trail.audit.refused("calling_ae_title", "10.0.0.9", 11112, calling=title)
    (line,) = trail.lines[before:]
    assert len(line["ae"]) <= 16
    assert all(" " <= each <= "~" for each in line["ae"])


def test_a_flood_is_counted_but_not_written(trail: _Trail) -> None:
    for _ in range(10_000):
        trail.audit.refused("tls_not_spoken", "10.0.0.9", 2762)
    assert len(trail.lines) == 20
    text = trail.metrics.exposition().decode()
    assert 'node_refusals_total{reason="tls_not_spoken"} 10000.0' in text
    # Another reason is not drowned.
    trail.audit.refused("certificate", "10.0.0.8", 2762)
    assert trail.lines[-1]["reason"] == "certificate"
    # Later lines say what is missing.
    trail.now += 5.0
    for _ in range(100):
        trail.audit.refused("tls_not_spoken", "10.0.0.9", 2762)
    assert len(trail.lines) == 22
    assert trail.lines[-1]["suppressed"] == 10_000 - 20


def test_a_quiet_day_allows_no_more_than_a_burst(trail: _Trail) -> None:
    trail.audit.refused("address", "10.0.0.9", 11112)
    trail.now += 86_400.0
    for _ in range(100):
        trail.audit.refused("address", "10.0.0.9", 11112)
    assert len(trail.lines) == 21
