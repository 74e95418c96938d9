"""A film reaches the network whole, square and windowed, and points find their way back."""

from __future__ import annotations

import numpy as np
import pytest

from models.radiograph import SIZE, film_of


def test_window_and_padding_of_a_tall_film() -> None:
    pixels = np.linspace(0.2, 0.4, 400, dtype=np.float32)[:, None] * np.ones((1, 300), np.float32)
    film = film_of(pixels)
    assert film.grey.shape == (SIZE, SIZE)
    assert film.grey.dtype == np.uint8
    assert (film.grey[:, :27] == 0).all()  # 224 x 168, so 28 black columns on each side
    assert film.grey[0, 112] == 0
    assert film.grey[-1, 112] == 255
    middle = film.grey[:, 112].astype(int)
    assert (np.diff(middle) >= 0).all()


def test_a_bright_marker_does_not_darken_the_film() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.3, 0.5, (500, 500)).astype(np.float32)
    marked = pixels.copy()
    marked[5:15, 5:15] = 1.0
    plain, other = film_of(pixels).grey, film_of(marked).grey
    assert np.abs(plain[20:].astype(int) - other[20:]).max() <= 3


@pytest.mark.parametrize("shape", [(600, 400), (400, 600), (512, 512)])
def test_network_pixels_map_to_source_pixels(shape: tuple[int, int]) -> None:
    rows, columns = shape
    pixels = np.zeros(shape, np.float32)
    row, column = rows // 3, columns // 4
    pixels[row - 8 : row + 9, column - 8 : column + 9] = 1.0
    film = film_of(pixels)
    found = np.argwhere(film.grey > 200).mean(0)[::-1] + 0.5
    np.testing.assert_allclose(film.window.to_source(found), [column + 0.5, row + 0.5], atol=2.0)


def test_a_blank_film_stays_finite() -> None:
    assert film_of(np.full((300, 200), 0.7, np.float32)).grey.max() == 0
