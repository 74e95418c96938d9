"""Gets it confirmed that a destination keeps what it was sent."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.commitment import MOST_REFERENCES
from node.ledger.commitments import Commitment, Judge
from node.sending.commitment import Requester
from node.sending.outcome import SendState

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)


class Book(Protocol):
    """The part of the ledger that a notary uses."""

    def begin(self, destination: str, transaction_uid: str, limit: int) -> Commitment | None: ...

    def accepted(self, transaction_uid: str) -> None: ...

    def refused(self, transaction_uid: str, reason: str, permanent: bool, judge: Judge) -> None: ...

    def expire(self, destination: str, timeout_s: float, judge: Judge) -> int: ...


class Counter(Protocol):
    """Takes counts."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long answers are waited for.

    Attributes
    ----------
    linger_s
        On the association of the request.
    timeout_s
        In all; then the objects are sent again.
    """

    linger_s: float
    timeout_s: float


class Notary:
    """Asks one destination for storage commitment, in a thread of its own.

    Deliveries do not wait for it, and it does not wait for those of other destinations.

    Parameters
    ----------
    book
        Where requests and answers are kept.
    judge
        Decides what follows when the destination can't be asked, or does not answer.
    new_transaction_uid
        Makes UIDs that nobody can guess: they are all that proves an answer.
    """

    def __init__(
        self,
        book: Book,
        destination: str,
        requester: Requester,
        judge: Judge,
        patience: Patience,
        new_transaction_uid: Callable[[], str],
        *,
        counter: Counter | None = None,
        idle_s: float = 1.0,
    ) -> None:
        self._book = book
        self._destination = destination
        self._requester = requester
        self._judge = judge
        self._patience = patience
        self._new_transaction_uid = new_transaction_uid
        self._counter = counter
        self._idle_s = idle_s
        self._in_vain = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notary-{destination}", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End; answers that are owed are taken by the listener, or after the next start.

        Returns
        -------
        Whether the thread has ended within `timeout_s`.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def ask_next(self) -> bool:
        """End what waits too long, then ask for what is due.

        Returns
        -------
        Whether something was due.
        """
        late = self._book.expire(self._destination, self._patience.timeout_s, self._judge)
        if late:
            self._tell("unanswered", "no answer in time", late)
        commitment = self._book.begin(
            self._destination, self._new_transaction_uid(), MOST_REFERENCES
        )
        if commitment is None:
            self._requester.close()
            return False
        uid = commitment.transaction_uid
        outcome = self._requester.ask(commitment)
        if outcome.state is SendState.SENT:
            self._in_vain = 0
            self._book.accepted(uid)
            self._tell("asked", outcome.note)
            self._requester.linger(self._patience.linger_s, self._stopping.is_set)
        else:
            self._in_vain += 1
            permanent = outcome.state is SendState.PERMANENT
            self._requester.close()
            self._book.refused(uid, outcome.note, permanent, self._judge)
            self._tell("refused" if permanent else "failed", outcome.note)
        return True

    @property
    def pause_s(self) -> float:
        """How long to leave the destination alone, 0 when it took the last request."""
        if not self._in_vain:
            return 0.0
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._in_vain - 1, 16))

    def _tell(self, result: str, reason: str, amount: int = 1) -> None:
        if self._counter is not None:
            self._counter.count(
                "commitment_requests_total", amount, destination=self._destination, result=result
            )
        extra = {
            "action": "commitment_requested",
            "destination": self._destination,
            "result": result,
            "reason": reason,
        }
        level = logging.INFO if result == "asked" else logging.WARNING
        _log.log(level, "storage commitment by %s: %s", self._destination, result, extra=extra)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                found = self.ask_next()
            except Exception as error:  # noqa: BLE001 - this thread's end would stop all asking
                _log.error(
                    "the notary of %s failed: %s",
                    self._destination,
                    type(error).__name__,
                    extra={"action": "notary_failed", "destination": self._destination},
                )
                self._in_vain += 1
                found = False
            if self._in_vain:
                self._stopping.wait(self.pause_s)
            elif not found:
                self._stopping.wait(self._idle_s)
        self._requester.close()
