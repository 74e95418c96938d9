"""The timers tick, survive errors and stop."""

from __future__ import annotations

import threading

from node.timers import Timers


def test_duties_are_repeated_until_stop_even_after_an_error() -> None:
    ticks = threading.Semaphore(0)

    def failing() -> None:
        ticks.release()
        raise OSError("disk")

    timers = Timers(failing, lambda: None, completion_tick_s=0.02, watchdog_tick_s=60.0)
    timers.start()
    assert ticks.acquire(timeout=10)
    assert ticks.acquire(timeout=10)
    timers.stop()
    while ticks.acquire(blocking=False):
        pass
    assert not ticks.acquire(timeout=0.1)
    timers.stop()
