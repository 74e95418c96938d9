"""Storage commitment over real associations: objects are stored, asked for, and answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commitment_node import POLICY, WITHIN_S
from tests.commitment_node import CommitmentNode as Node
from tests.commitment_outbox import STUDY, rows, states
from tests.committing_pacs import CommittingPacs
from tests.node_process import free_port, wait_until
from tests.orthanc import Orthanc

FIRST, SECOND = f"{STUDY}.1", f"{STUDY}.2"


@pytest.fixture
def pacs() -> Iterator[CommittingPacs]:
    peer = CommittingPacs()
    peer.start()
    yield peer
    peer.stop()


@pytest.fixture
def node(tmp_path: Path, pacs: CommittingPacs) -> Iterator[Node]:
    running = Node(tmp_path, pacs.port, on_listening=lambda port: setattr(pacs, "node_port", port))
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
    wait_until(lambda: len(pacs.responses) == len(pacs.asked), WITHIN_S, "the responses")
    assert set(pacs.responses) == {0x0000}


def test_a_new_association_is_served_while_ours_is_open(node: Node, pacs: CommittingPacs) -> None:
    pacs.manner = "new"
    node.linger_s = 3.0
    node.start()
    node.wait_for("committed", "committed")
    wait_until(lambda: len(pacs.responses) == len(pacs.asked), WITHIN_S, "the responses")
    assert set(pacs.responses) == {0x0000}


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
    node = Node(tmp_path, pacs.port)
    node.start()
    try:
        node.wait_for("dead", "dead")
        assert "no presentation context" in rows(node.ledger)[0].reason
    finally:
        node.stop()
        pacs.stop()


def test_orthanc_commits_what_it_keeps(tmp_path: Path) -> None:
    port = free_port()
    orthanc = Orthanc(tmp_path / "orthanc", port)
    orthanc.start()
    node = Node(tmp_path, orthanc.dicom_port, port)
    node.linger_s = 0.5
    node.start(asks=False)
    try:
        node.wait_for("sent", "sent")
        orthanc.delete(SECOND)
        node.notary.start()
        node.wait_for("committed", "committed")
        assert set(orthanc.download(tmp_path / "received")) == {FIRST, SECOND}
        said = [each.detail for each in node.ledger.events(STUDY) if each.what == "retry"]
        assert said == ["not committed: 0x0112: no such object instance"]
    finally:
        node.stop()
        orthanc.stop()
