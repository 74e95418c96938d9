"""AOPC is large for a map of what the network uses, and near that of random maps for others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.cxr_net import CxrNet
from train import faithfulness
from train.faithfulness import _change, measure_aopc


class _Corner(CxrNet):
    """Scores the grey of the upper left quarter."""

    def forward(self, films: Tensor) -> Tensor:
        """Mean of the quarter."""
        half = films.shape[-1] // 2
        return films[:, 0, :half, :half].mean((1, 2))


def test_the_right_map_changes_the_score_most() -> None:
    films = torch.full((1, 1, 64, 64), 200.0)
    dark = torch.zeros_like(films)
    heat = torch.zeros(1, 64, 64)
    heat[:, :32, :32] = 1.0
    shares = (0.25, 0.5)
    network = _Corner().eval()
    right = _change(network, films, dark, heat, shares)
    wrong = _change(network, films, dark, -heat, shares)
    torch.testing.assert_close(right, torch.tensor([-200.0 * 2 / 3]))
    torch.testing.assert_close(wrong, torch.tensor([0.0]))


def test_shapes_signs_and_repeatability() -> None:
    torch.manual_seed(0)
    network = CxrNet().eval()
    films = np.random.default_rng(0).integers(0, 255, (2, 1, 96, 96), dtype=np.uint8)
    first, second = (measure_aopc(network, films, (0.2, 0.5), sigma=4.0) for _ in range(2))
    assert first.deletion.shape == first.random_insertion.shape == (2,)
    np.testing.assert_array_equal(first.deletion, second.deletion)
    everything = measure_aopc(network, films, (1.0,), sigma=4.0)
    # All pixels exchanged: deletion and insertion undo each other, whatever the map.
    np.testing.assert_allclose(everything.deletion, everything.insertion, atol=1e-5)
    np.testing.assert_allclose(everything.deletion, everything.random_deletion, atol=1e-6)


def test_the_map_is_grad_cams() -> None:
    network = CxrNet().eval()
    heat = faithfulness.cam_of(network, torch.rand(2, 1, 64, 64) * 255)
    assert heat.shape == (2, 64, 64)
    assert float(heat.min()) >= 0
