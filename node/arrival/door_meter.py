"""What a door counts, until it is told to the control process."""

from __future__ import annotations

from threading import Lock

from node.arrival.door_line import Message
from node.arrival.meter import Meter

#: The message: counts, then measurements.
SUMS = "sums"

_Key = tuple[str, tuple[tuple[str, str], ...]]


class GatheringMeter:
    """Adds up counts and keeps measurements; thread-safe."""

    def __init__(self) -> None:
        self._counts: dict[_Key, float] = {}
        self._observed: dict[_Key, list[float]] = {}
        self._lock = Lock()

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0.0) + amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a measurement to a histogram."""
        key = (name, tuple(labels.items()))
        with self._lock:
            self._observed.setdefault(key, []).append(value)

    def take(self) -> Message:
        """Make the message of what was counted since the last one."""
        with self._lock:
            counts, self._counts = self._counts, {}
            observed, self._observed = self._observed, {}
        return [
            SUMS,
            [[name, amount, dict(labels)] for (name, labels), amount in counts.items()],
            [[name, values, dict(labels)] for (name, labels), values in observed.items()],
        ]


def add_sums(message: Message, meter: Meter) -> None:
    """Add what a door has counted to the node's meter."""
    _, counts, observed = message
    for name, amount, labels in counts:
        meter.count(name, amount, **labels)
    for name, values, labels in observed:
        for value in values:
            meter.observe(name, value, **labels)
