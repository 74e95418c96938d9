"""One measurement: some senders, instances that the receiver has not seen, and what it kept."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.receive.corpus import Sent
from tests.benchmarks.receive.process_tree import watched
from tests.benchmarks.receive.senders import NotTakenError, read_ahead, send
from tests.benchmarks.receive.station import Station

_SETTLE_S = 0.2


@dataclass(frozen=True)
class Case:
    """What is sent, and how."""

    corpus: str
    senders: int
    nagle: bool

    @property
    def name(self) -> str:
        """For tables."""
        plural = "s" if self.senders > 1 else ""
        return f"{self.corpus}, {self.senders} sender{plural}{', Nagle' if self.nagle else ''}"


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes
    ----------
    objects_per_s
        Acknowledged ones, from the first sender's start to the last one's end.
    cpu_ms, peak_mb
        Of the receiver's processes: for each object, and at most.
    problem
        Why the figures do not count; empty when every object is there with its bytes.
    """

    objects_per_s: float
    cpu_ms: float
    peak_mb: float
    problem: str = ""


def measure(station: Station, case: Case, instances: Sequence[Sent]) -> Measured:
    """Measure once; the receiver is at rest before and afterwards."""
    read_ahead(instances)
    with station.awake():
        # What others have written must not burden the first fsync of this one.
        os.sync()
        time.sleep(_SETTLE_S)
        count, address = len(instances), (station.port, station.receiver.ae_title)
        try:
            with watched(station.pid) as usage:
                took_s = send(instances, case.corpus, address, case.senders, nagle=case.nagle)
        except NotTakenError as error:
            return Measured(0.0, 0.0, 0.0, str(error))
        station.drain()
    return Measured(
        count / took_s,
        1000.0 * usage.cpu_s / count,
        usage.peak_bytes / 1e6,
        station.missing(instances),
    )
