"""Speckle: its statistics are those of theory, it moves with tissue and changes with blood."""

from __future__ import annotations

import numpy as np
import pytest

from tests.phantom_machine import clear_machine
from train.phantom.shapes import Scene, Shape, ellipse, still
from train.phantom.ultrasound.beams import BeamFormer
from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.speckle import ScattererField, blur_beams, envelope

GRID = PolarGrid(clear_machine(), 400, 300)
#: Where every sample has all its neighbours and the beam is in focus.
INNER = np.s_[90:310, 15:285]


def _envelopes(count: int, looks: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    fields = [ScattererField(rng, GRID).sample(GRID.points) for _ in range(count * looks)]
    power = np.stack([envelope(blur_beams(f, GRID)) for f in fields]) ** 2
    return np.asarray(np.sqrt(power.reshape(count, looks, *GRID.shape).mean(axis=1)))


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_fully_developed_speckle_has_the_snr_of_a_rayleigh_distribution() -> None:
    echoes = _envelopes(12)[:, *INNER]
    assert echoes.mean() / echoes.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), abs=0.06)


def test_compounding_raises_the_snr_and_keeps_the_power() -> None:
    one, three = _envelopes(12)[:, *INNER], _envelopes(4, looks=3)[:, *INNER]
    assert three.mean() / three.std() > 1.5 * one.mean() / one.std()
    assert (three**2).mean() == pytest.approx((one**2).mean(), rel=0.05)


@pytest.mark.parametrize("psf_deg", [0.6, 1.2])
def test_the_echo_level_does_not_depend_on_the_point_spread_function(psf_deg: float) -> None:
    grid = PolarGrid(clear_machine(lateral_psf_rad=np.deg2rad(psf_deg)), 400, 300)
    field = ScattererField(np.random.default_rng(1), grid).sample(grid.points)
    power = envelope(blur_beams(field, grid)) ** 2
    assert power[INNER].mean() == pytest.approx(1.0, rel=0.1)
    assert power[320:390, 30:270].mean() == pytest.approx(1.0, rel=0.15)


def test_scatterers_move_with_the_tissue() -> None:
    field, step = ScattererField(np.random.default_rng(2), GRID), 9
    before = envelope(blur_beams(field.sample(GRID.points), GRID))
    # The tissue has moved away from the probe by nine samples: it was nearer at end-diastole.
    moved_cm = step * GRID.machine.depth_cm / GRID.shape[0]
    origin = GRID.points * ((GRID.radius_cm - moved_cm) / GRID.radius_cm)[:, None, None]
    after = envelope(blur_beams(field.sample(origin), GRID))
    assert _alike(before[90:300, 15:285], after[90 + step : 300 + step, 15:285]) > 0.98
    assert abs(_alike(before[INNER], after[INNER])) < 0.2


def test_tissue_keeps_its_speckle_and_blood_does_not() -> None:
    disc = ellipse((0.0, 7.0), (3.0, 3.0))
    scene = Scene(-10.0, (Shape(disc, -20.0, blood=True),), still)
    former = BeamFormer(GRID, np.random.default_rng(3))
    first, second = former.form(scene), former.form(scene)
    away_cm = np.linalg.norm(GRID.points - (0.0, 7.0), axis=-1)
    blood, tissue = away_cm < 2.4, away_cm > 3.7
    assert _alike(first[tissue], second[tissue]) > 0.99
    assert abs(_alike(first[blood], second[blood])) < 0.1
    assert first[tissue].mean() - first[blood].mean() == pytest.approx(10.0, abs=1.0)
