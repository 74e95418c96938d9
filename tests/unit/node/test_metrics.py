"""Metrics: names are declared, labels are bounded, and the ledger is read when asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node import metrics as declared
from node.arrival.meter import Meter
from node.metrics import MOST_LABEL_VALUES, Metrics


def test_it_is_the_meter_of_arrival() -> None:
    meter: Meter = Metrics()
    meter.count("store_requests_total", ae="ECHO1", status="0x0000")
    meter.observe("store_duration_seconds", 0.02)


def test_counts_measurements_and_gauges() -> None:
    metrics = Metrics()
    metrics.count("store_bytes_total", 512, ae="ECHO1")
    metrics.count("accept_failures_total")
    metrics.observe("inference_seconds", 0.02, network="echo_e3net")
    metrics.set("build_info", 1, version="0.1.0")
    metrics.set_function("associations_active", lambda: 3.0)
    text = metrics.exposition().decode()
    assert 'node_store_bytes_total{ae="ECHO1"} 512.0' in text
    assert "node_accept_failures_total 1.0" in text
    assert 'node_inference_seconds_bucket{le="0.025",network="echo_e3net"} 1.0' in text
    assert 'node_build_info{version="0.1.0"} 1.0' in text
    assert "node_associations_active 3.0" in text


def test_two_nodes_share_nothing() -> None:
    first, second = Metrics(), Metrics()
    first.count("accept_failures_total")
    assert "node_accept_failures_total 0.0" in second.exposition().decode()


@pytest.mark.parametrize("method", ["count", "observe", "set"])
def test_undeclared_names_are_refused(method: str) -> None:
    with pytest.raises(KeyError):
        getattr(Metrics(), method)("nothing", 1.0)


def test_callers_cannot_make_labels_without_end() -> None:
    metrics = Metrics()
    for number in range(MOST_LABEL_VALUES + 50):
        metrics.count("store_bytes_total", ae=f"AE{number}")
    lines = re.findall(r"^node_store_bytes_total\{.*", metrics.exposition().decode(), re.M)
    assert len(lines) == MOST_LABEL_VALUES + 1
    assert 'node_store_bytes_total{ae="other"} 50.0' in lines


def test_the_ledger_is_read_when_asked() -> None:
    metrics = Metrics()
    counts = {"jobs": {"waiting": 1}}
    metrics.add_ledger(lambda: counts, lambda: {"analyse": 90.0}, clock=lambda: 100.0)
    counts["jobs"]["waiting"] = 7
    text = metrics.exposition().decode()
    assert 'node_jobs{state="waiting"} 7.0' in text
    assert 'node_queue_oldest_seconds{queue="analyse"} 10.0' in text


def test_every_name_in_use_is_declared() -> None:
    known = {*declared._COUNTERS, *declared._HISTOGRAMS, *declared._GAUGES}
    use = re.compile(r"(?:meter|metrics)\.(?:count|observe|set|set_function)\(\s*\"(\w+)\"")
    used = {name for path in Path("node").rglob("*.py") for name in use.findall(path.read_text())}
    assert used, "no module of the node counts anything"
    assert used <= known
