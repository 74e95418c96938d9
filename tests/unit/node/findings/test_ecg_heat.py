"""Heat of overlapping windows on one time line, and the wave where it is highest."""

from __future__ import annotations

import numpy as np

from node.findings.ecg_heat import merged, salient_wave
from node.findings.ecg_picture import place


def test_windows_that_overlap_are_averaged_and_gaps_are_no_numbers() -> None:
    heat = np.zeros((3, 12, 1000))
    heat[0, 3, 500:] = 0.5
    heat[1, 3, :500] = 0.1
    joined = merged(heat, (0, 500, 3000), 4500)
    assert joined.shape == (12, 4500)
    # the mean of 0.5 and 0.1 is the highest
    np.testing.assert_allclose(joined[3, [400, 700, 1200, 3500]], [0, 1, 0, 0])
    assert np.isnan(joined[:, [1600, 4200]]).all()
    assert np.isfinite(joined[:, 3000:4000]).all()


def test_no_heat_stays_none() -> None:
    assert merged(np.zeros((1, 12, 1000)), (0,), 1000).max() == 0.0


def test_the_wave_around_the_peak_of_one_lead() -> None:
    heat = np.zeros((12, 1000))
    heat[7, 400:450] = 0.6
    heat[7, 420] = 1.0
    heat[2, 0:900] = 0.9
    assert salient_wave(heat, 1000) == place(7, 1400, 1450)
    assert salient_wave(heat, 6000) == place(7, 6400, 6450)
    assert salient_wave(heat, 6000)[0] == 1


def test_a_window_without_heat_is_shown_as_a_whole_in_lead_ii() -> None:
    assert salient_wave(np.zeros((12, 1000)), 500) == place(1, 500, 1500)
