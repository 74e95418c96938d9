"""End-diastole and end-systole are found where the blood says they are."""

from __future__ import annotations

import numpy as np
import pytest

from models.heart_phase import end_diastole, end_systole, outline
from tests.tiny_cohort import pulsating_disc


@pytest.mark.parametrize("ef_percent", [20.0, 60.0])
def test_phases_of_a_pulsating_disc(ef_percent: float) -> None:
    frames, ed, es = pulsating_disc(np.random.default_rng(3), ef_percent)
    # The disc is largest at 0, 30 and 60 and smallest at 15 and 45.
    assert min(abs(end_diastole(frames, np.array(ed), np.array(es)) - k) for k in (0, 30, 60)) <= 3
    assert min(abs(end_systole(frames, np.array(ed), np.array(es)) - k) for k in (15, 45)) <= 3


def test_equal_borders_still_give_a_frame() -> None:
    frames, ed, _ = pulsating_disc(np.random.default_rng(3), 40.0)
    assert 0 <= end_diastole(frames, np.array(ed), np.array(ed)) < 64
    nowhere = np.zeros((20, 4))
    assert end_diastole(frames, nowhere - 5, nowhere - 5) == 0


def test_outline_is_closed_and_does_not_cross_itself() -> None:
    _, ed, _ = pulsating_disc(np.random.default_rng(3), 40.0)
    points = outline(np.array(ed))
    assert points.shape == (40, 2)
    x, y = points.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    assert area == pytest.approx(np.pi * (24 / 112) ** 2, rel=0.05)
