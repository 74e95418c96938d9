"""Running doors for tests: listener processes, and a ledger of the tests' own behind them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node.arrival.door_clerk import DoorServices
from node.arrival.door_orders import DoorPlan
from node.arrival.doors import Doors
from node.arrival.spool import Spool
from node.commitment import CommitmentAnswer
from node.config_listen import ListenSettings
from node.ledger.records import Arrival, ToRecord
from node.ledger.states import AnswerOutcome, ArrivalOutcome
from node.metrics import Metrics

Outcomes = list[ArrivalOutcome | Exception]


@dataclass
class Book:
    """Stands for the ledger behind the doors, and can be made slow or broken."""

    batches: list[list[Arrival]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[CommitmentAnswer] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def record(self, batch: Sequence[ToRecord]) -> Outcomes:
        self.before()
        self.batches.append([arrival for arrival, _ in batch])
        return [ArrivalOutcome.STORED] * len(batch)

    def is_own(self, uid: str) -> bool:
        self.asked.append(uid)
        return True

    def take_answer(self, answer: CommitmentAnswer) -> AnswerOutcome:
        self.answers.append(answer)
        return AnswerOutcome.TAKEN

    @property
    def arrivals(self) -> list[Arrival]:
        return [arrival for batch in self.batches for arrival in batch]


@dataclass
class House:
    """A node that has nothing but doors."""

    doors: Doors
    data_dir: Path
    book: Book
    spool: Spool
    metrics: Metrics

    @property
    def address(self) -> tuple[str, int]:
        return self.doors.address

    def metric(self, line: str) -> float:
        """The value in the exposition's line that begins with ``line``; 0 when there is none."""
        for each in self.metrics.exposition().decode().splitlines():
            if each.startswith(f"{line} "):
                return float(each.rpartition(" ")[2])
        return 0.0

    def parts(self) -> list[Path]:
        return list((self.data_dir / "spool" / "in").iterdir())

    def kill(self, pid: int) -> None:
        assert pid in self.doors.pids
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running_doors(
    folder: Path,
    doors: int = 2,
    record: Callable[[Sequence[ToRecord]], Outcomes] | None = None,
    **settings: object,
) -> Iterator[House]:
    """Doors with short deadlines; ``settings`` are those of ``[listen]``."""
    book = Book()
    # Port 0 is no setting that a site may have, and is not checked here.
    listen = ListenSettings().model_copy(
        update={"port": 0, "processes": doors, "association_deadline_s": 3.0, **settings}
    )
    plan = DoorPlan(
        listen=listen,
        ae_title="CARDIONODE",
        data_dir=folder,
        reserve_bytes=0,
        site_key=b"site",
        derived_root="2.25.",
        log_level="info",
        switch_interval_s=0.0005,
    )
    spool = Spool(folder, 0)
    metrics = Metrics()
    services = DoorServices(record or book.record, book.is_own, book.take_answer, metrics)
    house = House(Doors(plan, spool, services), folder, book, spool, metrics)
    house.doors.start()
    try:
        yield house
    finally:
        house.doors.stop(drain_s=2.0)
