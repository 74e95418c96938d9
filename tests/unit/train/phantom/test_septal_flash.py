"""Septal flash in the simulated heart: amplitude and timing, in the border and in the tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.virtual_m_mode import septum_points
from train.phantom.conduction import Conduction
from train.phantom.heart_cycle import Cycle, draw_cycle
from train.phantom.patient import Patient, draw_patient
from train.phantom.shapes import draw_levels
from train.phantom.views.apical import ApicalView

FLASH = Conduction("sinus", True, 150.0, 0.5, 80.0, 50.0)
NONE = replace(FLASH, flash_cm=0.0)


def patient(conduction: Conduction) -> Patient:
    return replace(draw_patient(4, 1), conduction=conduction, ejection_fraction=0.4)


def view(conduction: Conduction, chambers: int = 4) -> ApicalView:
    rng = np.random.default_rng(3)
    return ApicalView(patient(conduction), chambers, draw_levels(rng), rng)


def cycle_of(conduction: Conduction, frames: int = 400) -> Cycle:
    return draw_cycle(frames, 4.0, 60.0, np.random.default_rng(5), conduction)


def inward_cm(conduction: Conduction, cycle: Cycle, side: int = -1) -> np.ndarray:
    """How far the mid-basal border has moved towards the axis, against one without a flash."""
    seen, calm = view(conduction), view(replace(conduction, flash_cm=0.0))
    u = np.array([0.74])
    out = []
    for frame, contraction in enumerate(cycle.contraction):
        moved = seen.border(u, contraction, side, flash_cm=seen.flash_cm(cycle, frame))
        out.append(np.linalg.norm(moved - calm.border(u, contraction, side)))
    return np.array(out)


def test_border_moves_by_the_amplitude_at_the_right_time() -> None:
    cycle = cycle_of(FLASH)
    moved = inward_cm(FLASH, cycle)
    peak = int(moved.argmax())
    assert moved[peak] == pytest.approx(0.5, abs=0.03)
    assert cycle.ms_since_r[peak] == pytest.approx(80.0, abs=6.0)
    late = (cycle.ms_since_r > 300) & (cycle.ms_to_r > 100)
    assert moved[late].max() < 0.01


def test_displacement_is_towards_the_ventricle_and_continuous_over_the_r_peak() -> None:
    early = replace(FLASH, flash_peak_ms=60.0, flash_width_ms=80.0)  # it begins before the R peak
    seen, cycle = view(early), cycle_of(early)
    offsets = np.array([seen.flash_cm(cycle, frame) for frame in range(len(cycle.times_ms))])
    assert np.abs(np.diff(offsets)).max() < 0.06  # of 0.5 cm, in 4 ms; 0.1 with a jump
    middle = seen.chords(0.0).reshape(-1, 2, 2).mean((0, 1))
    u = np.array([0.74])
    calm, flashed = seen.border(u, 0.0, -1)[0], seen.border(u, 0.0, -1, flash_cm=0.5)[0]
    assert np.linalg.norm(flashed - middle) < np.linalg.norm(calm - middle)


def test_tissue_moves_with_the_border() -> None:
    seen, cycle = view(FLASH), cycle_of(FLASH)
    frame = int(np.abs(cycle.ms_since_r - 80.0).argmin())
    contraction = float(cycle.contraction[frame])
    u = np.array([0.74])
    flashed = seen.border(u, contraction, -1, flash_cm=seen.flash_cm(cycle, frame))
    material = seen.scene(cycle, frame).material
    calm = view(NONE)
    was = calm.scene(cycle, frame).material(calm.border(u, contraction, -1))
    assert np.linalg.norm(material(flashed) - was) < 0.12


def test_without_a_flash_and_in_other_planes_nothing_moves() -> None:
    cycle = cycle_of(FLASH)
    for still in (view(NONE), view(FLASH, chambers=2)):
        assert max(abs(still.flash_cm(cycle, k)) for k in range(0, 400, 7)) == 0.0


def test_block_delays_the_contraction_but_not_the_rhythm() -> None:
    late, usual = cycle_of(FLASH), cycle_of(replace(FLASH, lbbb=False))
    assert late.r_peaks_ms == usual.r_peaks_ms
    early = usual.ms_since_r < 60
    assert late.contraction[early].max() == 0.0 < usual.contraction[early].max()


def test_septum_lies_half_a_wall_outside_of_the_border() -> None:
    seen = view(NONE)
    points = seen.septum()
    assert points.shape == (62, 2)
    found = septum_points(seen.chords(0.0))
    distance = np.linalg.norm(points - found, axis=1)
    assert distance.max() < 0.45  # cm; the node knows the wall by its usual thickness only
    assert np.median(distance) < 0.25


def test_fibrillation_is_irregular_and_has_no_atrial_filling() -> None:
    fibrillating = replace(NONE, rhythm="atrial_fibrillation", lbbb=False)
    cycle = draw_cycle(3000, 4.0, 75.0, np.random.default_rng(1), fibrillating)
    intervals = np.diff(cycle.r_peaks_ms)
    assert 0.08 < intervals.std() / intervals.mean() < 0.3
    assert intervals.mean() == pytest.approx(800.0, rel=0.15)
    assert cycle.mitral_opening[(cycle.phase > 0.88)].max() < 0.4
    np.testing.assert_allclose(
        cycle.ms_since_r / (cycle.ms_since_r + cycle.ms_to_r), cycle.phase, atol=1e-9
    )
