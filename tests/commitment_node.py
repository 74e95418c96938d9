"""The parts of a node that deliver and get it confirmed, without those that analyse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node.arrival.c_store import Listener
from node.arrival.spool import Spool
from node.commitment import random_uid
from node.commitment_desk import CommitmentDesk
from node.commitment_judge import CommitmentJudge
from node.config_listen import ListenSettings
from node.ledger.ledger import Ledger
from node.ledger.records import StoredObject
from node.ledger.states import ArrivalOutcome
from node.retry import RetryPolicy
from node.sending.association import Peer
from node.sending.c_store import CStoreSender, SrSopClass
from node.sending.commitment import CommitmentRequester
from node.sending.courier import Courier
from node.sending.notary import Notary, Patience
from tests.commitment_outbox import queue, states
from tests.node_process import wait_until
from tests.sending_objects import capture, report

POLICY = RetryPolicy(first_retry_s=0.2, max_retry_s=0.5, permanent_failures=2, attempts=3)
WITHIN_S = 60.0


class Clock:
    """The real one, and what a test adds."""

    def __init__(self) -> None:
        self._at = 1_000_000.0
        self.now = self._at

    def __call__(self) -> float:
        self.now += 0.05  # every look at it is later
        return self.now


class CommitmentNode:
    """Listener, ledger, courier and notary as the runtime puts them together, in short lives.

    Parameters
    ----------
    port
        Where it listens; 0 for a free one.
    on_listening
        Is told the port in each life.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int,
        port: int = 0,
        on_listening: Callable[[int], None] = lambda port: None,
    ) -> None:
        self.folder = folder
        self._pacs_port = pacs_port
        self._port = port
        self._on_listening = on_listening
        self.clock = Clock()
        self.linger_s = 20.0
        self.timeout_s = 1e6
        self.sr_sop_class: SrSopClass = "comprehensive_3d"
        self.stored: list[StoredObject] = [report(folder, 1), capture(folder, 2)]

    def start(self, *, asks: bool = True) -> None:
        """Begin a life; the first one queues the objects.

        Parameters
        ----------
        asks
            Whether the notary begins, too.
        """
        fresh = not (self.folder / "ledger.sqlite").exists()
        self.ledger = Ledger.open(self.folder / "ledger.sqlite", self.clock)
        if fresh:
            queue(self.ledger, self.clock, self.stored)
        self.ledger.recover()
        self.ledger.commitments.recover(["pacs"])
        judge = CommitmentJudge({"pacs": POLICY})
        desk = CommitmentDesk(lambda answer: self.ledger.commitments.answered(answer, judge))
        self.listener = Listener(
            ListenSettings().model_copy(update={"port": self._port}),
            "CARDIONODE",
            Spool(self.folder, 0, max_object_bytes=16 << 20),
            lambda arrival, reason: ArrivalOutcome.STORED,
            lambda header: False,
            lambda patient_id, issuer: "",
            desk=desk,
        )
        self.listener.start()
        self._on_listening(self.listener.address[1])
        peer = Peer("127.0.0.1", self._pacs_port, "PACS", 10.0)
        self.courier = Courier(
            self.ledger,
            "pacs",
            CStoreSender(peer, "CARDIONODE", sr_sop_class=self.sr_sop_class),
            self.folder,
            clock=self.clock,
            policy=POLICY,
            idle_s=0.05,
            commit_wait_s=0.0,
        )
        requester = CommitmentRequester(peer, "CARDIONODE", desk, sr_sop_class=self.sr_sop_class)
        self.notary = Notary(
            self.ledger.commitments, "pacs", requester, judge,
            Patience(self.linger_s, self.timeout_s), random_uid, idle_s=0.05,
        )  # fmt: skip
        self.courier.start()
        if asks:
            self.notary.start()

    def stop(self) -> None:
        """End this life."""
        assert self.notary.stop(30.0)
        assert self.courier.stop(30.0)
        self.listener.stop(2.0)
        self.ledger.close()

    def wait_for(self, *expected: str) -> None:
        """Wait until the deliveries are in these states."""
        wait_until(lambda: states(self.ledger) == list(expected), WITHIN_S, f"{expected}")
