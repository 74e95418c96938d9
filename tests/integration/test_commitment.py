"""Storage commitment over real associations: objects are stored, asked for, and answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.arrival.c_store import Listener
from node.arrival.spool import Spool
from node.commitment import random_uid
from node.commitment_desk import CommitmentDesk
from node.commitment_judge import CommitmentJudge
from node.config import ListenSettings
from node.ledger import Ledger
from node.ledger_records import StoredObject
from node.ledger_states import ArrivalOutcome
from node.retry import RetryPolicy
from node.sending.association import Peer
from node.sending.c_store import CStoreSender, SrSopClass
from node.sending.commitment import CommitmentRequester
from node.sending.courier import Courier
from node.sending.notary import Notary, Patience
from tests.commitment_outbox import STUDY, queue, rows, states
from tests.committing_pacs import CommittingPacs
from tests.node_process import wait_until
from tests.sending_objects import capture, report

POLICY = RetryPolicy(first_retry_s=0.2, max_retry_s=0.5, permanent_failures=2, attempts=3)
WITHIN_S = 60.0
FIRST, SECOND = f"{STUDY}.1", f"{STUDY}.2"


class Clock:
    """The real one, and what a test adds."""

    def __init__(self) -> None:
        self._at = 1_000_000.0
        self.now = self._at

    def __call__(self) -> float:
        self.now += 0.05  # every look at it is later
        return self.now


class Node:
    """Listener, ledger, courier and notary as the runtime puts them together, in short lives."""

    def __init__(self, folder: Path, pacs: CommittingPacs) -> None:
        self.folder = folder
        self.pacs = pacs
        self.clock = Clock()
        self.linger_s = 20.0
        self.timeout_s = 1e6
        self.sr_sop_class: SrSopClass = "comprehensive_3d"
        self.stored: list[StoredObject] = [report(folder, 1), capture(folder, 2)]

    def start(self) -> None:
        """Begin a life; the first one queues the objects."""
        fresh = not (self.folder / "ledger.sqlite").exists()
        self.ledger = Ledger.open(self.folder / "ledger.sqlite", self.clock)
        if fresh:
            queue(self.ledger, self.clock, self.stored)
        self.ledger.recover()
        self.ledger.commitments.recover(["pacs"])
        judge = CommitmentJudge({"pacs": POLICY})
        desk = CommitmentDesk(lambda answer: self.ledger.commitments.answered(answer, judge))
        self.listener = Listener(
            ListenSettings.model_construct(**{**ListenSettings().model_dump(), "port": 0}),
            "CARDIONODE",
            Spool(self.folder, 0, max_object_bytes=16 << 20),
            lambda arrival, reason: ArrivalOutcome.STORED,
            lambda header: False,
            lambda patient_id, issuer: "",
            desk=desk,
        )
        self.listener.start()
        self.pacs.node_port = self.listener.address[1]
        peer = Peer("127.0.0.1", self.pacs.port, "PACS", 10.0)
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


@pytest.fixture
def pacs() -> Iterator[CommittingPacs]:
    peer = CommittingPacs()
    peer.start()
    yield peer
    peer.stop()


@pytest.fixture
def node(tmp_path: Path, pacs: CommittingPacs) -> Iterator[Node]:
    running = Node(tmp_path, pacs)
    yield running
    running.stop()


def asked_uids(pacs: CommittingPacs) -> list[str]:
    return [
        str(item.ReferencedSOPInstanceUID) for ds in pacs.asked for item in ds.ReferencedSOPSequence
    ]


@pytest.mark.parametrize("manner", ["same", "new"])
def test_committed_on_either_association(node: Node, pacs: CommittingPacs, manner: str) -> None:
    pacs.manner = "same" if manner == "same" else "new"
    node.linger_s = 20.0 if manner == "same" else 0.0
    node.start()
    node.wait_for("committed", "committed")
    assert pacs.stored == [FIRST, SECOND]
    assert sorted(asked_uids(pacs)) == [FIRST, SECOND]
    wait_until(lambda: len(pacs.responses) == len(pacs.asked), WITHIN_S, "the responses")
    assert set(pacs.responses) == {0x0000}


def test_a_peer_that_proposes_no_role_is_understood(node: Node, pacs: CommittingPacs) -> None:
    pacs.manner, pacs.proposes_role = "new", False
    node.start()
    node.wait_for("committed", "committed")


def test_a_new_association_is_served_while_ours_is_open(node: Node, pacs: CommittingPacs) -> None:
    pacs.manner = "new"
    node.linger_s = 3.0
    node.start()
    node.wait_for("committed", "committed")


def test_classes_are_those_that_were_sent(node: Node, pacs: CommittingPacs) -> None:
    node.sr_sop_class = "comprehensive"
    node.start()
    node.wait_for("committed", "committed")
    classes = {
        str(item.ReferencedSOPInstanceUID): item.ReferencedSOPClassUID.name
        for ds in pacs.asked
        for item in ds.ReferencedSOPSequence
    }
    assert classes[FIRST] == "Comprehensive SR Storage"


def test_a_failure_is_sent_and_asked_for_again(node: Node, pacs: CommittingPacs) -> None:
    pacs.failures[SECOND] = 0x0112
    node.start()
    wait_until(lambda: pacs.stored.count(SECOND) == 2, WITHIN_S, "the second copy")
    pacs.failures.clear()
    node.wait_for("committed", "committed")
    assert pacs.stored.count(FIRST) == 1
    said = [each.detail for each in node.ledger.events(STUDY) if each.what == "retry"]
    assert said[0] == "not committed: 0x0112: no such object instance"


@pytest.mark.parametrize(("reason", "copies"), [(0x0112, 3), (0x0122, 2)])
def test_failures_are_given_up(node: Node, pacs: CommittingPacs, reason: int, copies: int) -> None:
    pacs.failures[SECOND] = reason
    node.start()
    node.wait_for("committed", "dead")
    assert pacs.stored.count(SECOND) == copies
    assert f"not committed: 0x{reason:04X}" in rows(node.ledger)[1].reason


def test_silence_is_limited(node: Node, pacs: CommittingPacs) -> None:
    pacs.manner = "later"
    node.linger_s, node.timeout_s = 0.0, 2.0
    node.start()
    node.wait_for("dead", "dead")
    assert pacs.stored.count(FIRST) == POLICY.attempts
    assert "no answer within 2 s" in rows(node.ledger)[0].reason
    assert pacs.answer() == 0x0000  # late, and still a yes
    assert "committed" in states(node.ledger)


def test_an_answer_after_a_restart(node: Node, pacs: CommittingPacs) -> None:
    pacs.manner = "later"
    node.linger_s = 0.0
    node.start()
    wait_until(lambda: len(asked_uids(pacs)) == 2, WITHIN_S, "the request")
    wait_until(lambda: _asked(node) == len(pacs.asked), WITHIN_S, "its acceptance")
    node.stop()
    node.start()
    assert states(node.ledger) == ["sent", "sent"]
    for asked in list(pacs.asked):
        pacs.asked.append(asked)
        assert pacs.answer() == 0x0000
        assert pacs.answer() == 0x0000  # repeated
    assert states(node.ledger) == ["committed", "committed"]
    assert pacs.stored == [FIRST, SECOND]


def _asked(node: Node) -> int:
    return node.ledger.counts()["commitments"]["asked"]


def test_foreign_answers_are_answered_and_ignored(
    node: Node, pacs: CommittingPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.manner = "later"
    node.linger_s = 0.0
    node.start()
    wait_until(lambda: len(asked_uids(pacs)) == 2, WITHIN_S, "the request")
    before = states(node.ledger)
    assert pacs.answer("2.25.4711") == 0x0115
    assert states(node.ledger) == before == ["sent", "sent"]
    assert "an answer about storage commitment: unknown" in caplog.text
    assert "2.25" not in "".join(r.getMessage() for r in caplog.records if r.name[:5] == "node.")


def test_a_refused_request_is_repeated_then_given_up(node: Node, pacs: CommittingPacs) -> None:
    pacs.action_status = 0x0124
    node.start()
    node.wait_for("dead", "dead")
    assert pacs.stored == [FIRST, SECOND]  # asking again needs no second copy
    assert "0x0124: not authorised" in rows(node.ledger)[0].reason


def test_a_request_that_fails_for_now_is_repeated(node: Node, pacs: CommittingPacs) -> None:
    pacs.action_status = 0x0213
    node.start()
    wait_until(lambda: len(pacs.asked) >= 2, WITHIN_S, "the second request")
    pacs.action_status = 0x0000
    node.wait_for("committed", "committed")
    assert pacs.stored == [FIRST, SECOND]


def test_a_pacs_without_the_service(tmp_path: Path) -> None:
    pacs = CommittingPacs()
    pacs.start(commits=False)
    node = Node(tmp_path, pacs)
    node.start()
    try:
        node.wait_for("dead", "dead")
        assert "no presentation context" in rows(node.ledger)[0].reason
    finally:
        node.stop()
        pacs.stop()
