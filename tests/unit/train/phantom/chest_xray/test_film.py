"""A simulated film shows what the patient has: heart, calcium, and nothing that tells otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.phantom.chest_xray import bones
from train.phantom.chest_xray.film import PhantomXray, render_xray
from train.phantom.chest_xray.projection import Camera
from train.phantom.chest_xray.thorax import draw_thorax
from train.phantom.patient import Patient, draw_patient

SEED = 21


def _patient(number: int, **chest: float) -> Patient:
    patient = draw_patient(number, SEED)
    return replace(patient, chest=replace(patient.chest, **chest))


def _ratio(film: PhantomXray) -> float:
    """The ratio between the borders that the truth names."""
    heart, thorax = film.truth["heart_columns"], film.truth["thorax_columns"]
    return float((heart[1] - heart[0]) / (thorax[1] - thorax[0]))


def test_the_same_numbers_give_the_same_film() -> None:
    first, second = (render_xray(draw_patient(3, SEED), SEED) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    other = render_xray(draw_patient(4, SEED), SEED)
    assert np.abs(first.pixels - other.pixels).mean() > 0.01


@pytest.mark.parametrize("projection", ["PA", "AP", "LL"])
def test_pixels_are_grey_from_0_to_1(projection: str) -> None:
    film = render_xray(draw_patient(1, SEED), SEED, 256, projection)  # type: ignore[arg-type]
    assert film.pixels.shape == (256, 256)
    assert film.pixels.dtype == np.float32
    assert film.pixels.min() >= 0
    assert 0.3 < film.pixels.max() <= 1


def test_borders_in_the_film_have_the_patients_ratio() -> None:
    """Without a turn only the heart's distance from the detector changes it, by 2 %."""
    for number in range(20):
        patient = _patient(number, rotation_deg=0.0)
        film = render_xray(patient, SEED)
        assert _ratio(film) == pytest.approx(patient.chest.cardiothoracic_ratio, rel=0.04)


def test_a_supine_film_makes_the_heart_larger() -> None:
    patient = draw_patient(2, SEED)
    supine = render_xray(patient, SEED, projection="AP")
    assert _ratio(supine) > 1.03 * _ratio(render_xray(patient, SEED))


@pytest.mark.parametrize("number", range(8))
def test_the_heart_ends_in_the_picture_where_the_truth_says(number: int) -> None:
    """What a film has beyond that of a heart a third as wide is the heart, and ends with it."""
    ratio = draw_patient(number, SEED).chest.cardiothoracic_ratio
    film = render_xray(_patient(number), SEED, clean=True)
    small = render_xray(_patient(number, cardiothoracic_ratio=ratio / 3), SEED, clean=True)
    columns = np.flatnonzero((film.pixels - small.pixels > 0.004).any(0))
    left, right = film.truth["heart_columns"]
    assert columns[0] == pytest.approx(left, abs=4)
    assert columns[-1] + 1 == pytest.approx(right, abs=4)


def test_calcium_makes_the_knobs_wall_longer_and_denser() -> None:
    patient = draw_patient(6, SEED)
    thorax = draw_thorax(patient, np.random.default_rng(0))
    camera = Camera(320, 0.12, (0.0, -10.0), 0.0, 180.0, 15.0)
    amounts = [
        float(bones.arch_calcium(thorax, camera, a, np.random.default_rng(1)).sum())
        for a in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert amounts == sorted(amounts)
    assert amounts[-1] > 8 * amounts[0]


def test_calcium_is_seen_at_the_knob_and_nowhere_else() -> None:
    none = render_xray(_patient(7, arch_calcium=0.0), SEED).pixels
    much = render_xray(_patient(7, arch_calcium=1.0), SEED).pixels
    brighter = np.argwhere(much - none > 0.02)
    assert len(brighter) > 20
    assert np.ptp(brighter, axis=0).max() < 60


def test_scores_of_the_truth_are_the_patients() -> None:
    patient = draw_patient(8, SEED)
    truth = render_xray(patient, SEED).truth
    assert truth["score"] == patient.scores.xray
    assert truth["label"] == int(patient.stenosis_label)
    assert truth["probability"] == patient.scores.probability
