"""The rounds of a run: every receiver in every case, in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.receive.big import BigObject, measure_big
from tests.benchmarks.receive.corpus import Sent
from tests.benchmarks.receive.measurement import Case, Measured, measure
from tests.benchmarks.receive.receivers import Receiver
from tests.benchmarks.receive.senders import NotTakenError
from tests.benchmarks.receive.station import Station
from tests.benchmarks.receive.verdicts import NODE

_BIG_BYTES = 1 << 30

Step = tuple[str, Case, Measured] | BigObject


@dataclass(frozen=True)
class Size:
    """How many instances of each corpus a case sends: to senders that don't wait, and that do."""

    brisk: dict[str, int]
    nagling: dict[str, int]

    def of(self, case: Case) -> int:
        """How many a case sends."""
        return (self.nagling if case.nagle else self.brisk)[case.corpus]


FULL = Size({"echo": 60, "xray": 200, "ecg": 500}, {"echo": 30, "xray": 60, "ecg": 200})
QUICK = Size({"echo": 24, "xray": 60, "ecg": 160}, {"echo": 12, "xray": 30, "ecg": 80})


def cases_of(corpora: Sequence[str]) -> list[Case]:
    """Every case of some corpora."""
    return [
        Case(corpus, senders, nagle)
        for nagle in (False, True)
        for corpus in corpora
        for senders in (1, 4)
    ]


def one_round(
    number: int,
    chosen: Sequence[Receiver],
    shares: dict[Case, list[Sent]],
    warm_up: Sent,
    work: Path,
    ground: Path,
) -> Iterator[Step]:
    """Measure every receiver in every case, each in a fresh folder; who is first changes.

    Yields
    ------
    What was measured, as soon as it was; the last is a large instance to the node.
    """
    with ExitStack() as stack:
        stations = []
        for receiver in chosen:
            station = stack.enter_context(_station(receiver, ground))
            try:
                station.start(warm_up)
            except NotTakenError as error:
                for case in cases_for(receiver, shares):
                    yield receiver.name, case, Measured(0.0, 0.0, 0.0, str(error))
            else:
                stations.append(station)
        for at, (case, instances) in enumerate(shares.items()):
            first = (number + at) % max(1, len(stations))
            for station in (*stations[first:], *stations[:first]):
                if case.corpus in station.receiver.takes:
                    yield station.receiver.name, case, measure(station, case, instances)
        for station in stations:
            if station.receiver.name == NODE and number == 0:
                yield measure_big(station, work, _BIG_BYTES)


@contextmanager
def _station(receiver: Receiver, ground: Path) -> Iterator[Station]:
    station = Station(receiver, ground)
    try:
        yield station
    finally:
        station.end()


def cases_for(receiver: Receiver, cases: Iterable[Case]) -> list[Case]:
    """The cases that a receiver takes part in."""
    return [case for case in cases if case.corpus in receiver.takes]


def shares_of(
    size: Size, cases: Sequence[Case], made: dict[str, list[Sent]]
) -> dict[Case, list[Sent]]:
    """Divide the corpora: a receiver gets no instance twice, which it may know by then."""
    shares, used = {}, dict.fromkeys(made, 0)
    for case in cases:
        begin = used[case.corpus]
        used[case.corpus] = begin + size.of(case)
        shares[case] = made[case.corpus][begin : used[case.corpus]]
    return shares
