"""While instances rush in, computing waits, and not for ever."""

from __future__ import annotations

import pytest

from node.rush import Rush


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_waits_before_the_first_arrival_and_after_a_lull() -> None:
    clock = Clock()
    rush = Rush(5.0, lull_s=0.2, clock=clock)
    assert rush.left_s() == 0.0
    rush.arrived()
    assert rush.left_s() == pytest.approx(0.2)
    clock.now += 0.25
    assert rush.left_s() == 0.0


def test_each_arrival_prolongs_a_burst_up_to_its_limit() -> None:
    clock = Clock()
    rush = Rush(1.0, lull_s=0.2, clock=clock)
    held = 0
    for _ in range(30):  # a stream of three seconds
        rush.arrived()
        held += rush.left_s() > 0
        clock.now += 0.1
    assert 9 <= held <= 11


def test_after_a_lull_a_new_burst_has_its_whole_time() -> None:
    clock = Clock()
    rush = Rush(0.3, lull_s=0.2, clock=clock)
    for _ in range(6):
        rush.arrived()
        clock.now += 0.1
    assert rush.left_s() == 0.0
    clock.now += 1.0
    rush.arrived()
    assert rush.left_s() > 0.0


def test_a_limit_of_nothing_never_holds_back() -> None:
    clock = Clock()
    rush = Rush(0.0, clock=clock)
    rush.arrived()
    assert rush.left_s() == 0.0
