"""A burst of arrivals, while which computing waits.

A sender waits for every answer, and an answer waits for three syncs. On a machine whose cores are
all busy each of them takes as long as the scheduler lets another task run (4 ms on a usual Linux),
however low that task's priority: receiving is several times faster where nothing is computed
beside it, and results are due only some time after the last arrival of a study.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Rush:
    """Tells how long computing should wait; thread-safe.

    Parameters
    ----------
    most_s
        How long one burst may hold computing back, seconds: a stream of instances that goes on
        for longer shares the machine. 0 never holds it back.
    lull_s
        A burst is over when nothing has arrived for so long. A lone instance is analysed so much
        later; a sender that leaves longer pauses does not need the whole machine.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, most_s: float, lull_s: float = 0.05, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_s = most_s
        self._lull_s = lull_s
        self._clock = clock
        # One pair, replaced as a whole: readers need no lock.
        self._burst = (-float("inf"), -float("inf"))

    def arrived(self) -> None:
        """Tell that an instance has arrived."""
        now = self._clock()
        began, last = self._burst
        self._burst = (began if now - last < self._lull_s else now, now)

    def left_s(self) -> float:
        """How long to wait before the next look, seconds; 0 when computing may go on."""
        now = self._clock()
        began, last = self._burst
        return max(0.0, min(last + self._lull_s, began + self._most_s) - now)
