"""A node's way from a sender's bytes to a folder of results, small enough to be killed a lot.

Spool, intake, ledger, worker, pipeline, result store and courier are the real ones. Only decoding
and the one finding, which have no state, are replaced by what needs no child and no network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from models.cards import Card
from models.inputs import Clip, Decoded
from node.arrival.intake import Intake, StoreStatus
from node.arrival.spool import Spool
from node.data_dir import DataDir
from node.decode.examined import Examined
from node.errors import CardionodeError
from node.facts import InstanceFacts, Kind
from node.findings.base import Drawing, Networks, Observation, Subject
from node.installed import Installed
from node.ledger import writer as ledger_writer
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from node.pipeline import Pipeline
from node.result_store import ResultStore
from node.results import codes
from node.results.primitives import PERCENT, Group, ImageReference, Measurement, Region
from node.retry import RetryPolicy
from node.sending.courier import Courier
from node.sending.folder import FolderSender
from node.worker import Worker
from tests.build import make_echo_still, save
from tests.results_objects import DEVICE_UID

DESTINATION = "folder"
#: Instead of a second, to which all faults would add up.
_MEND_EVERY_S = 0.01
_BORDER = ((10.0, 5.0), (50.0, 5.0), (50.0, 35.0), (10.0, 35.0))
_CARD = Card(
    name="net", version="1", network="N", finding="small", sha256="ab" * 32, parameters=1,
    training_data="", licence="", normalisation={}, input={}, metrics={}, thresholds={},
    intended_use="", statement="a statement",
)  # fmt: skip

Told = Callable[[str, StoreStatus, str], None]


class Clock:
    """A clock that is moved on to what waits."""

    def __init__(self) -> None:
        self.now = 1_750_000_000.0

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


class SmallFinding:
    """Says the same of every clip, and draws it."""

    name, title, series_number = "small", "Small finding", 9010
    kinds: frozenset[Kind] = frozenset({"clip"})
    networks: tuple[str, ...] = ("net",)
    needs: tuple[str, ...] = ()

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Observe one thing."""
        return {"answer": 50.0}

    def headline(self, observation: Observation) -> str:
        """Say it."""
        return "fifty percent"

    def explain(self, subject: Subject, observation: Observation, networks: Networks) -> Drawing:
        """Draw nothing on black."""
        frames = np.zeros((1, 40, 60, 3), np.uint8)
        return Drawing(frames, "fifty percent", codes.GRADIENT_CLASS_ACTIVATION)

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """Report one number."""
        at = replace(observations[0][0], frame=1)
        measured = Measurement(codes.PROBABILITY, 50.0, PERCENT)
        return (Group("answer", codes.IMAGE_VIEW, codes.HEART, measured, Region(_BORDER, at)),)


class _Decoder:
    def decode(self, path: Path) -> Examined:
        ds = dcmread(path, stop_before_pixels=True)
        grey = np.zeros((2, 40, 60), np.uint8)
        clip = Clip(grey, np.zeros((*grey.shape, 3), np.uint8), np.array([0.0, 33.0]))
        facts = InstanceFacts(
            str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID), has_pixels=True, frames=2,
            frame_times_known=True,
        )  # fmt: skip
        return Examined(facts, Decoded(clip), ())


class _NoNetworks:
    def run(self, network: str, task: str, arrays: Any) -> Any:
        raise AssertionError("no network is asked here")


class SmallNode:
    """Opens and recovers what an earlier one left, as the node's start does.

    Parameters
    ----------
    folder
        Gets the data directory ``var`` and the destination ``out``.
    """

    def __init__(self, folder: Path) -> None:
        ledger_writer.MEND_EVERY_S = _MEND_EVERY_S
        self.data_dir = DataDir(folder / "var")
        self.data_dir.lock_exclusive()
        self.clock = Clock()
        self.ledger = Ledger.open(self.data_dir.ledger, self.clock)
        self.spool = Spool(self.data_dir.path, reserve_bytes=0)
        self._digest = ""
        self.intake = Intake(self.spool, self._record, lambda _: False, lambda p, _: p.hex())
        store = ResultStore(self.data_dir.path, self.data_dir.results)
        pipeline = Pipeline(
            (SmallFinding(),), Installed({"net": _CARD}, {}), _Decoder(), _NoNetworks(),
            self.spool.path_of, store, "test", DEVICE_UID,
        )  # fmt: skip
        self.worker = Worker("w", self.ledger, pipeline, (DESTINATION,), self.clock)
        self.courier = Courier(
            self.ledger, DESTINATION, FolderSender(folder / "out"), self.data_dir.path,
            clock=self.clock, policy=RetryPolicy(),
        )  # fmt: skip
        self.spool.sweep(self.ledger.has_blob)
        store.sweep(self.ledger.object_digests())
        self.ledger.recover()

    def close(self) -> None:
        """End as a node that drains does."""
        self.ledger.close()
        self.data_dir.release()

    def receive(self, paths: Sequence[Path], told: Told) -> list[Path]:
        """Take instances in; return those that were refused.

        Parameters
        ----------
        told
            Gets each instance's name, what its sender is answered, and its digest.
        """
        refused = []
        for path in paths:
            self._digest = ""
            try:
                status = self.intake.take_file(path, "ECHO1")
            except (OSError, CardionodeError):  # As a listener does when a part can't be opened.
                status = StoreStatus.OUT_OF_RESOURCES
            told(path.name, status, self._digest)
            if status is not StoreStatus.SUCCESS:
                refused.append(path)
        return refused

    def work(self, rounds: int = 40) -> bool:
        """Analyse, report and deliver until nothing is due; return whether that came to be."""
        for _ in range(rounds):
            try:
                self.ledger.requeue_expired_leases()
                while self.worker.work_once():
                    pass
                self.ledger.complete_due_studies(0.0)
                while self.courier.deliver_next():
                    pass
                if self._is_idle():
                    return True
            except (OSError, CardionodeError):
                # Here a thread of the node would wait and go on; leases run out meanwhile.
                self.clock.now += 1000.0
                time.sleep(2 * _MEND_EVERY_S)
            self.clock.now += 120.0
        return False

    def _is_idle(self) -> bool:
        counts = self.ledger.counts()
        unfinished = [counts["jobs"][state] for state in ("waiting", "running", "retry")]
        unfinished += [counts["deliveries"][state] for state in ("waiting", "retry")]
        return not any(unfinished) and not counts["studies"]["open"]

    def _record(self, arrival: Arrival, reason: str | None) -> ArrivalOutcome:
        outcome = self.ledger.record_arrival(arrival, reason)
        self._digest = arrival.sha256
        return outcome


def write_instances(folder: Path, count: int) -> list[Path]:
    """Small stills, each of a study of its own but every third, which shares the one before."""
    folder.mkdir()
    return [save(_instance(number), folder) for number in range(count)]


def _instance(number: int) -> Dataset:
    study = number - 1 if number % 3 == 2 else number
    ds = make_echo_still(study=f"S{study}", patient=f"P{study}", number=number, rows=40, columns=60)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return ds
