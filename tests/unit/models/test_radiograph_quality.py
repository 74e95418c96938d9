"""Frontal chest films pass; films from the side, of something else or turned over do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.inputs import Radiograph
from models.radiograph_quality import radiograph_problem
from node.decode.child import examine
from node.decode.scratch import Scratch
from train.phantom.chest_xray.film import Projection, render_xray
from train.phantom.patient import draw_patient

_ROOT = Path(__file__).parents[3]
_ANIMAL = _ROOT / "tests" / "data" / "dx_animal_thorax.dcm"
_PHILIPS = _ROOT / "sample_dicom" / "cxr_pa_philips_j2k.dcm"


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path / "scratch")
    yield made
    made.close()


def _decoded(path: Path, scratch: Scratch) -> Radiograph:
    decoded = examine(path, scratch, 256 << 20).decoded
    assert decoded is not None
    assert isinstance(decoded.input, Radiograph)
    return decoded.input


def _film(number: int, projection: Projection = "PA", view: str = "", part: str = "") -> Radiograph:
    pixels = render_xray(draw_patient(number, 55), 55, projection=projection).pixels
    return Radiograph(pixels, view_position=view, body_part=part)


@pytest.mark.parametrize("number", range(6))
def test_frontal_films_pass(number: int) -> None:
    assert radiograph_problem(_film(number)) is None
    assert radiograph_problem(_film(number, "AP", "AP", "CHEST")) is None


@pytest.mark.parametrize("number", range(6))
def test_films_from_the_side_are_refused_by_their_picture(number: int) -> None:
    reason = radiograph_problem(_film(number, "LL"))
    assert reason is not None
    assert "two lungs" in reason


def test_a_real_film_passes(scratch: Scratch) -> None:
    assert radiograph_problem(_decoded(_PHILIPS, scratch)) is None


def test_an_animal_from_the_side_is_refused(scratch: Scratch) -> None:
    animal = _decoded(_ANIMAL, scratch)
    assert animal.body_part == "THORAX"
    assert radiograph_problem(animal) is not None


@pytest.mark.parametrize(
    ("view", "part", "word"),
    [("LL", "CHEST", "view is LL"), ("rl", "", "view is RL"), ("PA", "HAND", "body part is HAND")],
)
def test_the_header_counts(view: str, part: str, word: str) -> None:
    assert word in str(radiograph_problem(_film(0, view=view, part=part)))


def test_turned_over_grey_is_named() -> None:
    film = _film(2)
    turned = Radiograph(np.float32(1.0) - film.pixels)
    assert "turned over" in str(radiograph_problem(turned))


def test_too_small_and_blank() -> None:
    assert "120 x 90" in str(radiograph_problem(Radiograph(np.zeros((90, 120), np.float32))))
    assert "blank" in str(radiograph_problem(Radiograph(np.full((300, 300), 0.5, np.float32))))


def test_noise_is_no_chest() -> None:
    noise = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    assert "two lungs" in str(radiograph_problem(Radiograph(noise)))
