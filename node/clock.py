"""The node's clock: epoch seconds that never jump while the node runs."""

from __future__ import annotations

import time


class SteadyClock:
    """Wall time at the start plus monotonic time since.

    Leases, retries and quiet periods are differences of two readings, so a wall clock that is
    set by a day, or a time zone's change, must not reach them.
    """

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Now, in seconds since the epoch."""
        return time.monotonic() + self._offset_s
