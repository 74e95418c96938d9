"""Which group of an ECG object is read, and which leads can be computed."""

from __future__ import annotations

import numpy as np
import pytest

from models.ecg import LEADS, WINDOW
from models.ecg_input import IncompleteEcgError, choose_group, prepare, twelve_leads
from models.inputs import Recording, Waveform


def _group(leads: tuple[str, ...] = LEADS, seconds: float = 4.0, hz: float = 250.0) -> Waveform:
    t = np.arange(round(seconds * hz)) / hz
    rows = [np.sin(2 * np.pi * (2 + i) * t) for i, _ in enumerate(leads)]
    return Waveform(np.array(rows, np.float32), leads, hz)


def test_the_rhythm_and_not_the_median_beat() -> None:
    median, rhythm = _group(seconds=1.2), _group(seconds=10.0)
    assert choose_group(Recording((median, rhythm))) is rhythm


def test_more_leads_before_more_seconds() -> None:
    strip, full = _group(("II",), seconds=60.0), _group(seconds=10.0)
    assert choose_group(Recording((strip, full))) is full


def test_eight_leads_are_twelve() -> None:
    eight = _group(("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"))
    leads = twelve_leads(eight)
    assert leads.shape == (12, 1000)
    one, two = eight.millivolts[:2]
    np.testing.assert_allclose(leads[LEADS.index("III")], two - one, atol=1e-6)
    np.testing.assert_allclose(leads[LEADS.index("aVR")], -(one + two) / 2, atol=1e-6)


def test_leads_come_out_in_order() -> None:
    group = _group()
    backwards = Waveform(group.millivolts[::-1], LEADS[::-1], group.sampling_hz)
    np.testing.assert_array_equal(twelve_leads(backwards), group.millivolts)


@pytest.mark.parametrize(
    ("leads", "words"),
    [
        (LEADS[:10], "leads V5, V6 are missing"),
        (LEADS[1:2] + LEADS[3:], "leads I, III are missing"),
        (tuple(name for name in LEADS if name != "V3"), "lead V3 is missing"),
    ],
)
def test_what_is_missing_is_named(leads: tuple[str, ...], words: str) -> None:
    with pytest.raises(IncompleteEcgError, match=words):
        prepare(Recording((_group(leads),)))


def test_less_than_two_seconds() -> None:
    with pytest.raises(IncompleteEcgError, match=r"it lasts 1\.9 s, and 2 are needed"):
        prepare(Recording((_group(seconds=1.9),)))


def test_windows_of_what_was_prepared() -> None:
    ecg = prepare(Recording((_group(seconds=10.0),)))
    assert ecg.signal.shape == (12, 5000)
    assert ecg.windows.shape == (9, 12, WINDOW)
    assert ecg.starts == tuple(range(0, 4001, 500))
    np.testing.assert_array_equal(ecg.windows[3], ecg.signal[:, 1500:2500])
