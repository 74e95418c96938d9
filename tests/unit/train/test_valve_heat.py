"""Whether the outline of what was salient holds the valve."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.rsmas_net import WIDTH, RsmasNet
from train.scoring.valve_heat import heat_at_valve, valve_heat_table

NAN = float("nan")


def test_heat_is_read_where_the_valve_is() -> None:
    network = RsmasNet().eval().requires_grad_(False)
    last = torch.zeros(3, WIDTH, 4, 4)
    last[:, :, 1, 2] = 1.0  # the middle of that cell: x 5/8, y 3/8
    with torch.inference_mode():
        heat = heat_at_valve(network, last, np.array([[0.625, 0.375], [0.1, 0.9], [NAN, NAN]]))
    assert heat[0, 0] > 0.95
    assert heat[1, 0] == 0.0
    assert np.isnan(heat[2, 0])
    # (1 - x)(1 - y) >= 1/2 in the four quarters of a cell, of which there are 16.
    assert heat[:, 1] == pytest.approx([4 * (0.5 - 0.5 * np.log(2)) / 16] * 3, abs=0.005)


def test_the_table_counts_the_outlines_that_hold_the_valve() -> None:
    heat = np.array([[0.9, 0.05], [0.4, 0.07], [NAN, 0.5], [0.5, 0.06]])
    table = valve_heat_table(heat, np.arange(4))
    assert table["valve_in_outline"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert table["valve_heat"]["value"] == pytest.approx(0.6)
    assert table["outline_area"]["value"] == pytest.approx(0.06)
    assert valve_heat_table(np.array([[NAN, 0.5]]), np.arange(1)) == {}
