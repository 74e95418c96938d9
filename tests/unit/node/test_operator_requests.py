"""Requests of an operator reach the node that runs, and their answers come back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import CardionodeError, LedgerError, UnreachableError
from node.operator_requests import OperatorRequest, RequestBox, carry_out


class _Ledger:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []

    def retry_dead(self, study_uid: str | None = None) -> int:
        self.calls.append(("retry", study_uid))
        return 4

    def replay(self, study_uid: str) -> int:
        self.calls.append(("replay", study_uid))
        if study_uid == "damaged":
            raise LedgerError("The disk has failed.")
        return 2


@pytest.fixture
def box(tmp_path: Path) -> RequestBox:
    return RequestBox(tmp_path / "requests")


@pytest.fixture
def ledger(box: RequestBox) -> Iterator[_Ledger]:
    served, stop = _Ledger(), threading.Event()

    def serve() -> None:
        while not stop.wait(0.02):
            box.answer_all(served)

    thread = threading.Thread(target=serve)
    thread.start()
    yield served
    stop.set()
    thread.join()


def test_a_running_node_answers(box: RequestBox, ledger: _Ledger, tmp_path: Path) -> None:
    assert box.ask(OperatorRequest("retry")) == 4
    assert box.ask(OperatorRequest("replay", "1.2.3")) == 2
    assert ledger.calls == [("retry", None), ("replay", "1.2.3")]
    assert not list((tmp_path / "requests").iterdir())


def test_its_problem_is_told(box: RequestBox, ledger: _Ledger) -> None:
    with pytest.raises(CardionodeError, match="The disk has failed"):
        box.ask(OperatorRequest("replay", "damaged"))


def test_nobody_answers(box: RequestBox, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        box.ask(OperatorRequest("retry"), timeout_s=0.05)
    assert not list((tmp_path / "requests").iterdir())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"kind": "erase"}', '{"kind": "retry", "study_uid": 3}', "9" * 5000]
)
def test_unknown_requests_change_nothing(box: RequestBox, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / "x.ask").write_text(text)
    ledger = _Ledger()
    assert box.answer_all(ledger) == 1
    assert not ledger.calls
    assert "problem" in json.loads((folder / "x.answer").read_text())
    box.sweep()
    assert not list(folder.iterdir())


def test_replay_needs_a_study() -> None:
    ledger = _Ledger()
    assert carry_out(OperatorRequest("replay"), ledger) == 0
    assert not ledger.calls


def test_an_absent_folder_is_empty(box: RequestBox) -> None:
    assert box.answer_all(_Ledger()) == 0
    box.sweep()
