"""Clips of every view: pictures are sound, repeat, and agree with their truth."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.view_net import VIEWS as NETWORK_VIEWS
from models.volumes import disc_sum_ejection_fraction
from train.phantom.clip import VIEWS, PhantomClip, Resolution, render_clip
from train.phantom.patient import draw_patient
from train.phantom.ultrasound.display import ScanConverter
from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.machine import draw_machine

APICAL = ("A4C", "A2C")


def _clip(patient_id: int, view: str, seed: int = 1, count: int = 3) -> PhantomClip:
    return render_clip(draw_patient(patient_id, seed), view, seed, 64, only=range(count))


def _digest(clip: PhantomClip) -> str:
    return hashlib.sha256(clip.frames.tobytes()).hexdigest()


def test_views_are_those_of_the_network() -> None:
    assert set(VIEWS) == set(NETWORK_VIEWS)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_a_picture_of_a_sector(view: str) -> None:
    clip = _clip(11, view)
    assert clip.frames.shape == (3, 112, 112)
    assert clip.frames.dtype == np.uint8
    assert clip.frames.std() > 2
    assert 1000 / 62 <= clip.frame_time_ms <= 1000 / 25
    assert (clip.frames[0] != clip.frames[1]).any()
    mask = ScanConverter(PolarGrid(clip.machine, 160, 112), 224).mask
    outside = cv2.resize(mask, (112, 112), interpolation=cv2.INTER_AREA) == 0
    assert 0.1 < outside.mean() < 0.7
    assert not clip.frames[:, outside].any()


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_seed_gives_the_same_bytes(view: str) -> None:
    again = {_digest(_clip(4, view, count=1)) for _ in range(2)}
    others = {_digest(_clip(5, view, count=1)), _digest(_clip(4, view, seed=2, count=1))}
    assert len(again) == 1
    assert len(again | others) == 3


def test_every_kind_of_other_view_is_a_picture() -> None:
    digests = {_digest(_clip(patient, "other", count=1)) for patient in range(12)}
    assert len(digests) == 12


@pytest.mark.parametrize("view", APICAL)
def test_borders_lie_in_the_window_and_give_the_ejection_fraction(view: str) -> None:
    for patient_id in range(8):
        clip = _clip(patient_id, view, count=0)
        assert clip.borders is not None
        assert clip.borders.shape == (2, 20, 4)
        assert clip.borders.min() > 0
        assert clip.borders.max() < 1
        truth = draw_patient(patient_id, 1).ejection_fraction
        assert disc_sum_ejection_fraction(clip.borders) == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("view", [v for v in VIEWS if v not in APICAL])
def test_only_apical_views_have_borders(view: str) -> None:
    assert _clip(0, view, count=0).borders is None


def test_a_display_only_leaves_out_the_shift() -> None:
    patient = draw_patient(9, 1)
    cohort = render_clip(patient, "A4C", 1, 64, only=[0])
    display = render_clip(patient, "A4C", 1, 64, Resolution(centred=True), only=[0])
    assert cohort.machine.shift != (0.0, 0.0)
    assert display.machine == replace(cohort.machine, shift=(0.0, 0.0))
    np.testing.assert_array_equal(display.cycle.contraction, cohort.cycle.contraction)
    assert cohort.borders is not None
    assert display.borders is not None
    np.testing.assert_allclose(
        display.borders[..., :2] - cohort.borders[..., :2],
        np.broadcast_to(cohort.machine.shift, (2, 20, 2)),
    )


def test_a_display_shows_the_whole_sector() -> None:
    for seed in range(40):
        machine = draw_machine(np.random.default_rng(seed), 14.0)
        grid = PolarGrid(replace(machine, shift=(0.0, 0.0)), 160, 112)
        shown = ScanConverter(grid, 400).to_window(grid.points)
        assert shown.min() > -1e-9
        assert shown.max() < 1 + 1e-9
