"""Writes the audit trail: one line for each sender that was refused, and never a flood of them.

The codes are those of PS3.15 section A.5.3.11; the trail is part of the log, under ``node.audit``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)

_SECURITY_ALERT = "110113 DCM Security Alert"
_NODE_AUTHENTICATION = "110126 DCM Node Authentication"
#: PS3.15 section A.5.3.11: a failure that was mitigated.
_MINOR_FAILURE = 4
_LONGEST_TITLE = 16
#: For each reason: so many lines at once, then one for each pause.
_BURST = 20
_PAUSE_S = 5.0


class Counts(Protocol):
    """Takes the counts of what was refused."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""


class _Allowance:
    """How many lines one reason may still write."""

    def __init__(self, now: float) -> None:
        self._left = float(_BURST)
        self._at = now
        self.suppressed = 0

    def take(self, now: float) -> bool:
        self._left = min(_BURST, self._left + (now - self._at) / _PAUSE_S)
        self._at = now
        if self._left < 1.0:
            self.suppressed += 1
            return False
        self._left -= 1.0
        return True


class AuditTrail:
    """Tells of refused senders; thread-safe.

    Parameters
    ----------
    meter
        Counts each refusal, also those that are not written.
    clock
        Seconds that never go back.
    """

    def __init__(self, meter: Counts, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._clock = clock
        self._allowances: dict[str, _Allowance] = {}
        self._lock = threading.Lock()

    def refused(
        self,
        reason: str,
        host: str,
        port: int,
        *,
        calling: bytes | None = None,
        called: bytes | None = None,
        certificate: str | None = None,
        is_security: bool = True,
    ) -> None:
        """Tell that a sender was refused.

        Parameters
        ----------
        reason
            One of a few words; each has its own allowance, so that none hides another.
        host
            The peer's address.
        port
            Ours, to which it came.
        calling, called
            AE titles as they came; whatever is no printable ASCII becomes a question mark.
        certificate
            SHA-256 of the peer's verified certificate.
        is_security
            Whether it is a Security Alert; a full node is none.
        """
        self._meter.count("refusals_total", reason=reason)
        suppressed = self._suppressed(reason)
        if suppressed is None:
            return
        _log.warning(
            "a sender was refused",
            extra={
                "action": "refused",
                "event_id": _SECURITY_ALERT if is_security else None,
                "event_type": _NODE_AUTHENTICATION if is_security else None,
                "outcome": _MINOR_FAILURE,
                "reason": reason,
                "ae": _printable(calling),
                "called_ae": _printable(called),
                "address": host,
                "port": port,
                "certificate": certificate,
                "suppressed": suppressed or None,
            },
        )

    def _suppressed(self, reason: str) -> int | None:
        """How many lines were left out before this one; None when it is left out, too."""
        with self._lock:
            now = self._clock()
            allowance = self._allowances.setdefault(reason, _Allowance(now))
            if not allowance.take(now):
                return None
            suppressed, allowance.suppressed = allowance.suppressed, 0
            return suppressed


def _printable(title: bytes | None) -> str | None:
    if title is None:
        return None
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in title[:_LONGEST_TITLE])
    return text.strip()
