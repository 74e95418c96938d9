"""What happens by the clock: studies become complete, leases and pairings expire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

from apscheduler.schedulers.background import BackgroundScheduler

COMPLETION_TICK_S = 0.5
WATCHDOG_TICK_S = 5.0
EXPIRY_TICK_S = 60.0


class Timers:
    """Calls the node's periodic duties from one background thread pool.

    A duty never runs twice at the same time, and ticks that were missed are made up for by one.
    An error in a duty is logged, and the next tick tries again.

    Parameters
    ----------
    complete_due_studies, requeue_expired_leases
        The duties.
    completion_tick_s, watchdog_tick_s
        Seconds from tick to tick.
    """

    def __init__(
        self,
        complete_due_studies: Callable[[], object],
        requeue_expired_leases: Callable[[], object],
        *,
        completion_tick_s: float = COMPLETION_TICK_S,
        watchdog_tick_s: float = WATCHDOG_TICK_S,
    ) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self.every("complete-due-studies", completion_tick_s, complete_due_studies)
        self.every("requeue-expired-leases", watchdog_tick_s, requeue_expired_leases)

    def every(self, name: str, interval_s: float, duty: Callable[[], object]) -> None:
        """Add a duty."""
        self._scheduler.add_job(duty, "interval", seconds=interval_s, id=name, name=name)

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking and wait for duties that run."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
