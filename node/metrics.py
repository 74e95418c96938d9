"""What the node counts and measures, in Prometheus' words.

Labels are AE titles, destinations, networks, states and reasons; never an identity.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Values of one label that are told apart; callers choose their AE title, and could choose many.
MOST_LABEL_VALUES = 100
_OTHER = "other"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "accept_failures_total": ("Connections that could not be accepted", ()),
    "arrivals_total": ("Instances that were made durable", ("outcome",)),
    "associations_total": ("Associations that were asked for", ("result",)),
    "commitment_answers_total": ("Answers to requests for storage commitment", ("result",)),
    "commitment_requests_total": (
        "Requests for storage commitment that we made",
        ("destination", "result"),
    ),
    "commitments_refused_total": (
        "Requests for storage commitment that we refused",
        ("ae", "status"),
    ),
    "decode_child_deaths_total": ("Decoder children that died", ("signal",)),
    "delivery_attempts_total": ("Attempts to deliver an object", ("destination", "result")),
    "dimse_rejected_total": ("Messages that could not be understood", ("reason",)),
    "jobs_total": ("Attempts at jobs that ended", ("kind", "result")),
    "lease_expired_total": ("Jobs and deliveries taken from silent workers", ()),
    "listener_deaths_total": ("Listener processes that died", ()),
    "pdu_rejected_total": ("Network packets that were refused", ("reason",)),
    "quarantined_total": ("Instances that were put aside on arrival", ("reason",)),
    "refusals_total": ("Senders that were refused", ("reason",)),
    "store_bytes_total": ("Bytes of instances received", ("ae",)),
    "store_failures_total": ("Instances that could not be made durable", ("reason",)),
    "store_requests_total": ("C-STORE requests answered", ("ae", "status")),
    "tls_reloads_total": ("Changed TLS files that were loaded, or not", ("section", "result")),
}

_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "inference_batch_size": ("Inputs in one batch", ("network",), (1, 2, 4, 8, 16, 32, 64)),
    "inference_seconds": ("One batch through a network", ("network",), _SECONDS),
    "job_stage_seconds": ("One stage of a job", ("stage",), _SECONDS),
    "store_duration_seconds": ("From request to durable answer", (), _SECONDS),
}

_GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "associations_active": ("Associations now", ()),
    "build_info": ("Always 1; the labels say which version runs", ("version",)),
    "network_loaded": ("1 for each network in memory", ("network", "version", "device")),
    "spool_free_bytes": ("Free space where instances are stored", ()),
    "spool_reserve_bytes": ("Free space below which instances are refused", ()),
}


class Metrics:
    """The node's counters, histograms and gauges; thread-safe.

    Every name is declared in this file and is shown with the prefix ``node_``.

    Parameters
    ----------
    registry
        Where they are registered; a fresh one by default, so that nothing is shared.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._counters = {
            name: Counter(f"node_{name}", text, labels, registry=self.registry)
            for name, (text, labels) in _COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(f"node_{name}", text, labels, registry=self.registry, buckets=buckets)
            for name, (text, labels, buckets) in _HISTOGRAMS.items()
        }
        self._gauges = {
            name: Gauge(f"node_{name}", text, labels, registry=self.registry)
            for name, (text, labels) in _GAUGES.items()
        }
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._lock = threading.Lock()

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter.

        Raises
        ------
        KeyError
            No counter has this name.
        """
        counter = self._counters[name]
        (counter.labels(**self._bounded(name, labels)) if labels else counter).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a measurement to a histogram.

        Raises
        ------
        KeyError
            No histogram has this name.
        """
        histogram = self._histograms[name]
        (histogram.labels(**self._bounded(name, labels)) if labels else histogram).observe(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge.

        Raises
        ------
        KeyError
            No gauge has this name.
        """
        gauge = self._gauges[name]
        (gauge.labels(**self._bounded(name, labels)) if labels else gauge).set(value)

    def set_function(self, name: str, read: Callable[[], float]) -> None:
        """Read a gauge without labels whenever somebody looks."""
        self._gauges[name].set_function(read)

    def add_ledger(
        self,
        counts: Callable[[], Mapping[str, Mapping[str, int]]],
        oldest: Callable[[], Mapping[str, float]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Show the ledger's counts and the age of what waits longest, read when somebody looks.

        Parameters
        ----------
        counts
            ``{"jobs": {state: count}, ...}``.
        oldest
            Since when the oldest unfinished item of each queue waits, epoch seconds.
        """
        self.registry.register(_LedgerCollector(counts, oldest, clock))

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _bounded(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        bounded = {}
        with self._lock:
            for label, value in labels.items():
                seen = self._seen.setdefault((name, label), set())
                if value not in seen and len(seen) >= MOST_LABEL_VALUES:
                    value = _OTHER
                seen.add(value)
                bounded[label] = value
        return bounded


class _LedgerCollector(Collector):
    """Reads the ledger at each scrape, so that the numbers can't drift from it."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, Mapping[str, int]]],
        oldest: Callable[[], Mapping[str, float]],
        clock: Callable[[], float],
    ) -> None:
        self._counts = counts
        self._oldest = oldest
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the ledger."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges of this moment."""
        for what, by_state in self._counts().items():
            family = GaugeMetricFamily(
                f"node_{what}", f"How many {what} are in a state", labels=["state"]
            )
            for state, count in by_state.items():
                family.add_metric([state], count)
            yield family
        now = self._clock()
        ages = GaugeMetricFamily(
            "node_queue_oldest_seconds", "Age of what waits longest", labels=["queue"]
        )
        for queue, since in self._oldest().items():
            ages.add_metric([queue], max(0.0, now - since))
        yield ages
