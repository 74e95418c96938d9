"""Takes what is due from the outbox to one destination, and records what came of it."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from node.errors import LeaseLostError, RefusedError, StorageFailedError, UnreachableError
from node.ledger.records import Delivery
from node.retry import DELIVERY_POLICY, RetryPolicy, decide
from node.sending.outcome import Sender, SendOutcome, SendState, permanent, transient

LEASE_S = 900.0
LONGEST_PAUSE_S = 60.0

_log = logging.getLogger(__name__)


class Outbox(Protocol):
    """The part of the ledger that a courier uses."""

    def claim_delivery(self, destination: str, lease_s: float) -> Delivery | None: ...

    def delivery_sent(
        self, delivery: Delivery, note: str, commit_wait_s: float | None = None
    ) -> None: ...

    def delivery_retry(
        self, delivery: Delivery, reason: str, at: float, permanent: bool
    ) -> None: ...

    def delivery_dead(self, delivery: Delivery, reason: str) -> None: ...


class Courier:
    """Serves one destination in a thread of its own, so that a dead one delays no other.

    A destination that can't be reached is left alone for a while that doubles up to a minute:
    not every object in the outbox waits for the same timeout.

    Parameters
    ----------
    outbox
        The ledger.
    destination
        Its name in the settings.
    sender
        Used by this courier only.
    data_dir
        What the paths of stored objects are relative to.
    clock
        The ledger's clock, epoch seconds.
    policy
        When a delivery is tried again, and when it is given up.
    idle_s
        How often the outbox is looked at without a wake-up.
    commit_wait_s
        When the destination is asked to commit what it has got; None for never.
    """

    def __init__(
        self,
        outbox: Outbox,
        destination: str,
        sender: Sender,
        data_dir: Path,
        *,
        clock: Callable[[], float] = time.time,
        policy: RetryPolicy = DELIVERY_POLICY,
        rng: random.Random | None = None,
        idle_s: float = 1.0,
        commit_wait_s: float | None = None,
    ) -> None:
        self._outbox = outbox
        self._destination = destination
        self._sender = sender
        self._data_dir = data_dir
        self._clock = clock
        self._policy = policy
        self._rng = rng if rng is not None else random.Random()
        self._idle_s = idle_s
        self._commit_wait_s = commit_wait_s
        self._study_uid = ""
        self._unreachable = 0
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"courier-{destination}", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox now; a pause after an unreachable destination goes on."""
        self._woken.set()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End after the object that is on its way; the rest stays in the outbox.

        Returns
        -------
        Whether the thread has ended within `timeout_s`.
        """
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def deliver_next(self) -> bool:
        """Deliver one object that is due.

        Returns
        -------
        Whether there was one.

        Raises
        ------
        LeaseLostError
            The delivery was stopped or taken over meanwhile; the object may have been sent.
        """
        delivery = self._outbox.claim_delivery(self._destination, LEASE_S)
        if delivery is None:
            self._sender.close()
            return False
        if delivery.object.study_instance_uid != self._study_uid:
            self._sender.close()
            self._study_uid = delivery.object.study_instance_uid
        outcome = self._attempt(delivery)
        self._unreachable = 0 if outcome.reachable else self._unreachable + 1
        self._record(delivery, outcome)
        return True

    @property
    def pause_s(self) -> float:
        """How long to leave the destination alone, 0 when it was reachable."""
        if not self._unreachable:
            return 0.0
        return min(
            LONGEST_PAUSE_S, self._policy.first_retry_s * 2.0 ** min(self._unreachable - 1, 16)
        )

    def _attempt(self, delivery: Delivery) -> SendOutcome:
        path = self._data_dir / delivery.object.path
        try:
            with path.open("rb") as blob:
                digest = hashlib.file_digest(blob, "sha256").hexdigest()
        except FileNotFoundError:
            return permanent("the stored object is missing")
        except OSError as error:
            return transient(str(StorageFailedError.of(error)))
        if digest != delivery.object.sha256:
            return permanent("the stored object is damaged: its checksum is wrong")
        return self._sender.send(delivery.object, path)

    def _record(self, delivery: Delivery, outcome: SendOutcome) -> None:
        extra = {
            "action": "delivery_attempted",
            "destination": self._destination,
            "delivery": delivery.id,
            "result": outcome.state.value,
            "reason": outcome.note,
        }
        if outcome.state is SendState.SENT:
            _log.info("delivery %s to %s is done", delivery.id, self._destination, extra=extra)
            self._outbox.delivery_sent(delivery, outcome.note, self._commit_wait_s)
            return
        refused = outcome.state is SendState.PERMANENT
        decision = decide(
            RefusedError(outcome.note) if refused else UnreachableError(outcome.note),
            attempt=delivery.attempt,
            first_attempt_at=delivery.first_attempt_at,
            now=self._clock(),
            rng=self._rng,
            policy=self._policy,
            permanent_failures=delivery.permanent_refusals,
        )
        _log.warning(
            "delivery %s to %s failed: %s",
            delivery.id,
            self._destination,
            decision.reason,
            extra=extra,
        )
        if decision.retry_at is None:
            self._outbox.delivery_dead(delivery, decision.reason)
        else:
            self._outbox.delivery_retry(delivery, decision.reason, decision.retry_at, refused)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                found = self.deliver_next()
            except LeaseLostError:
                found = True
            except Exception as error:  # noqa: BLE001 - this thread's end would stop all delivery
                _log.error(
                    "the courier to %s failed: %s",
                    self._destination,
                    type(error).__name__,
                    extra={"action": "courier_failed", "destination": self._destination},
                )
                self._unreachable += 1
                found = False
            if self._unreachable:
                self._stopping.wait(self.pause_s)
            elif not found:
                self._woken.wait(self._idle_s)
        self._sender.close()
