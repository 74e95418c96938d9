"""Carries requests of an operator to the node that runs: the ledger has one writing process.

A request is a small JSON document that is moved into the data directory; the node that holds the
directory's lock carries it out and moves the answer beside it. No port is opened for this, and who
may write to the directory may ask.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from node.errors import CardionodeError, UnreachableError

_POLL_S = 0.1
_LARGEST_BYTES = 4096


class RetryAndReplay(Protocol):
    """What the ledger does for an operator."""

    def retry_dead(self, study_uid: str | None = None) -> int:
        """Try again what was given up; None means every study."""

    def replay(self, study_uid: str) -> int:
        """Analyse a study again."""


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """Something an operator asks for; only ``retry`` may leave out the study, and means all."""

    kind: Literal["retry", "replay"]
    study_uid: str | None = None


def carry_out(request: OperatorRequest, ledger: RetryAndReplay) -> int:
    """Do what is asked for.

    Returns
    -------
    How many jobs and deliveries wait because of it.
    """
    if request.kind == "replay":
        return ledger.replay(request.study_uid) if request.study_uid else 0
    return ledger.retry_dead(request.study_uid)


class RequestBox:
    """The folder that requests and answers pass through.

    Parameters
    ----------
    folder
        In the data directory; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, request: OperatorRequest, timeout_s: float = 15.0) -> int:
        """Put a request in and wait for its answer.

        Raises
        ------
        UnreachableError
            The node did not answer in time; the request is taken back.
        CardionodeError
            The node could not carry it out.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = secrets.token_hex(8)
        question, answer = self._folder / f"{name}.ask", self._folder / f"{name}.answer"
        _put(question, asdict(request))
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                if answer.exists():
                    told = json.loads(answer.read_text(encoding="utf-8"))
                    if "problem" in told:
                        raise CardionodeError(told["problem"])
                    return int(told["count"])
                time.sleep(_POLL_S)
        finally:
            question.unlink(missing_ok=True)
            answer.unlink(missing_ok=True)
        raise UnreachableError("The node that has this data directory did not answer.")

    def answer_all(self, ledger: RetryAndReplay) -> int:
        """Carry out every request that waits; call it often from the node's timers.

        Returns
        -------
        How many there were.
        """
        if not self._folder.is_dir():
            return 0
        questions = sorted(self._folder.glob("*.ask"))
        for question in questions:
            request = _read(question)
            question.unlink(missing_ok=True)
            answer: dict[str, object]
            if request is None:
                answer = {"problem": "The request is not one that this version knows."}
            else:
                try:
                    answer = {"count": carry_out(request, ledger)}
                except CardionodeError as error:
                    answer = {"problem": str(error)}
            _put(question.with_suffix(".answer"), answer)
        return len(questions)

    def sweep(self) -> None:
        """Remove what nobody waits for any more; at the start of a node."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                path.unlink(missing_ok=True)


def _put(path: Path, content: object) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.chmod(0o600)
    part.rename(path)


def _read(path: Path) -> OperatorRequest | None:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return None
        asked = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(asked, dict) or asked.get("kind") not in ("retry", "replay"):
        return None
    study_uid = asked.get("study_uid")
    if study_uid is not None and not isinstance(study_uid, str):
        return None
    return OperatorRequest(asked["kind"], study_uid)
