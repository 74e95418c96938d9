"""Maps of windows become one map per frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heatmap import PADDING, merge_windows, normalise, window_indices


def flat(values: list[list[float]]) -> np.ndarray:
    """Maps of 1 x 1 pixel."""
    return np.array(values, np.float32)[..., None, None]


def test_positions_name_source_frames() -> None:
    assert window_indices(3, 5, 2, 3).tolist() == [3, 5, 7, PADDING, PADDING]


def test_overlaps_are_averaged_gaps_interpolated_and_ends_copied() -> None:
    indices = np.array([[1, 3, 5], [3, 5, PADDING]])
    merged = merge_windows(flat([[1, 2, 4], [4, 8, 99]]), indices, 8)
    # frame 3: (2 + 4) / 2, frame 5: (4 + 8) / 2, frame 2: (1 + 3) / 2, frame 4: (3 + 6) / 2
    assert merged[:, 0, 0].tolist() == [1, 1, 2, 3, 4.5, 6, 6, 6]
    assert merged.dtype == np.float32


def test_values_that_are_not_finite_count_as_nothing() -> None:
    merged = merge_windows(flat([[np.nan, np.inf]]), np.array([[0, 1]]), 2)
    assert merged.tolist() == [[[0.0]], [[0.0]]]


@pytest.mark.parametrize(
    ("indices", "frames"), [([[0, 4]], 4), ([[PADDING, PADDING]], 4), ([[0, 1, 2]], 4)]
)
def test_indices_that_do_not_fit_are_refused(indices: list[list[int]], frames: int) -> None:
    with pytest.raises(ValueError, match=r"windows show|positions for"):
        merge_windows(flat([[1, 2]]), np.array(indices), frames)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 20), st.floats(0.1, 5.0))
def test_a_constant_stays_constant_whatever_the_windows(
    frames: int, stride: int, value: float
) -> None:
    starts = range(0, max(frames - 62, 1), stride)
    indices = np.stack(
        [window_indices(start, 32, 2, len(range(start, frames, 2)[:32])) for start in starts]
    )
    merged = merge_windows(np.full((len(starts), 32, 2, 2), value), indices, frames)
    assert merged.shape == (frames, 2, 2)
    assert np.allclose(merged, value)


def test_normalising_is_robust_against_a_hot_pixel() -> None:
    maps = np.tile(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20), (10, 1, 1))
    maps[0, 0, 0] = 1000.0
    scaled = normalise(maps)
    assert (scaled.min(), scaled.max()) == (0.0, 1.0)
    assert 0.4 < scaled[5].mean() < 0.6


def test_normalising_keeps_a_single_hot_spot_and_leaves_constants_cold() -> None:
    maps = np.zeros((4, 40, 40), np.float32)
    assert not normalise(maps).any()
    maps[1, 3, 3] = 2.0
    assert normalise(maps)[1, 3, 3] == 1.0
