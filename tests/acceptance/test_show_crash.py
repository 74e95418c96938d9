"""``cardionode show`` tells what a crash did to a study, step by step, and that nothing is lost."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from pydicom import dcmread

from node.ledger.records import Event
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState
from tests.node_process import ROOT, NodeProcess, as_sent, run_cardionode, wait_until
from tests.pacs import RememberingPacs

_CINE = ROOT / "sample_dicom" / "phantom" / "a4c.dcm"
_WORK_S = 600.0
#: Every step of the analysis that was cut off, in order: subject, what, words of the detail.
_STORY = (
    ("instance 1", "received", "bytes from ECHO"),
    ("analyse job 1", "waiting", "instance 1"),
    ("analyse job 1", "running", "attempt 1 by worker-"),
    ("node", "died", "ended without being asked to"),
    ("node", "started", ""),
    ("analyse job 1", "retry", "was cut off: the node was restarted"),
    ("analyse job 1", "running", "attempt 2 by worker-"),
    ("analyse job 1", "done", "echo_view: analysed"),
    ("study", "complete", "quiet for"),
    ("report job 2", "running", "attempt 1"),
    ("delivery 1 to pacs", "sending", "attempt 1"),
    ("delivery 1 to pacs", "sent", ""),
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_show_tells_of_a_crash(tmp_path: Path) -> None:
    study_uid = str(dcmread(_CINE, stop_before_pixels=True).StudyInstanceUID)
    with RememberingPacs(1) as pacs:
        node = NodeProcess(tmp_path, pacs.port, {"grouping": {"quiet_s": 0.2}})
        try:
            _start(node)
            _send(node)
            wait_until(lambda: bool(node.counts()["jobs"]["running"]), _WORK_S, "the analysis")
            node.kill()
            _start(node)
            wait_until(node.is_idle, _WORK_S, "the work")
            assert node.stop() == 0
        finally:
            node.end()
        assert all(len(copies) == 1 for copies in pacs.copies.values())
    shown = run_cardionode("show", study_uid, "--config", str(node.config))
    assert shown.returncode == 0
    _assert_told(_steps(shown.stdout))
    assert re.search(r"node +died once meanwhile", shown.stdout)


def _start(node: NodeProcess) -> None:
    # Other tests may give up earlier: here nothing depends on how busy the machine is.
    node.spawn()
    wait_until(lambda: node.is_ready or not node.is_alive, _WORK_S, "the node's start")
    assert node.is_alive, node.log[-2000:]


def _send(node: NodeProcess) -> None:
    sender = CStoreSender(Peer("127.0.0.1", node.port, "CARDIONODE"), "ECHO")
    try:
        assert sender.send(as_sent(_CINE), _CINE).state is SendState.SENT
    finally:
        sender.close()


def _steps(page: str) -> list[Event]:
    """Read the last table as people do: columns are where their heads are, and cells are folded."""
    _, head, *lines = page[page.index("Step by step") :].splitlines()
    starts = [head.index(name) for name in ("what", "became", "because")]
    steps: list[Event] = []
    for line in filter(None, lines):
        cells = [line[a:b].strip() for a, b in pairwise([*starts, None])]
        if not cells[0]:
            last = steps.pop()
            cells = [last.subject, last.what, f"{last.detail} {cells[2]}"]
        steps.append(Event(0.0, *cells))
    return steps


def _assert_told(steps: list[Event]) -> None:
    left = iter(steps)
    for subject, what, words in _STORY:
        assert any(
            (step.subject, step.what) == (subject, what) and words in step.detail for step in left
        ), f"{subject} {what} {words!r} is not told, or not in this order: {steps}"
