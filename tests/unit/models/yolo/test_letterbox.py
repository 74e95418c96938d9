"""The letterbox keeps shapes and finds its way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.yolo.letterbox import PADDING_GREY, letterbox

SIDE = st.integers(20, 900)


def test_a_wide_image_gets_grey_above_and_below() -> None:
    placing = letterbox(100, 200, 640)
    image = np.full((100, 200), 7, np.uint8)
    out = placing.apply(image)
    assert (placing.left, placing.top, placing.width, placing.height) == (0, 160, 640, 320)
    assert (out[:160] == PADDING_GREY).all() and (out[480:] == PADDING_GREY).all()
    assert (out[160:480] == 7).all()
    box = placing.to_square(np.array([50.0, 25.0, 100.0, 75.0]))
    assert box.tolist() == [160.0, 240.0, 320.0, 400.0]


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, st.sampled_from([320, 640]), st.integers(0, 2**32 - 1))
def test_boxes_come_back(rows: int, columns: int, size: int, seed: int) -> None:
    placing = letterbox(rows, columns, size)
    draw = np.random.default_rng(seed).uniform(0, 1, (5, 4))
    boxes = np.sort(draw.reshape(5, 2, 2), axis=1).reshape(5, 4) * [columns, rows, columns, rows]
    inside = placing.to_square(boxes)
    assert np.allclose(placing.to_image(inside), boxes, atol=1e-9)
    assert inside.min() >= 0 and inside.max() <= size
    assert max(placing.width, placing.height) == size
    # one scale for both directions, but for the rounding to whole pixels
    assert placing.width / columns == pytest.approx(placing.height / rows, rel=0.5 / 20 + 0.05)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no letterbox"):
        letterbox(0, 10, 640)
