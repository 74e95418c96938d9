"""Class activation maps against their written-out formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.cam import enlarged, grad_cam, grad_cam_plus_plus, min_max


def activation(*space: int, samples: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(samples, 3, *space, generator=generator, requires_grad=True)


def score_of(a: torch.Tensor) -> torch.Tensor:
    """A score that is not linear, different for each sample."""
    weight = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, *[1] * (a.ndim - 2))
    return (a.square() * weight).flatten(1).sum(1) * torch.arange(1.0, len(a) + 1)


@pytest.mark.parametrize("space", [(6,), (4, 5), (2, 3, 4)])
def test_grad_cam_is_the_mean_gradient_times_the_maps(space: tuple[int, ...]) -> None:
    a = activation(*space)
    cam = grad_cam(a, score_of(a))
    for n in range(2):
        gradient = 2 * a[n].detach() * torch.tensor([1.0, -2.0, 0.5]).view(3, *[1] * len(space))
        gradient = gradient * (n + 1)
        weights = gradient.flatten(1).mean(1)
        expected = sum(weights[c] * a[n, c].detach() for c in range(3)).clamp_min(0)  # type: ignore[union-attr]
        assert torch.allclose(cam[n], expected, atol=1e-5)
    assert cam.shape == (2, *space)


def test_grad_cam_plus_plus_follows_tf_keras_vis() -> None:
    a = activation(3, 4)
    score = score_of(a)
    cam = min_max(grad_cam_plus_plus(a, score)).numpy()
    for n in range(2):
        maps = a[n].detach().double().numpy()
        g = 2 * maps * np.array([1.0, -2.0, 0.5])[:, None, None] * (n + 1)
        first = np.exp(float(score[n].detach())) * g
        second, third = first * g, first * g * g
        bottom = 2 * second + third * maps.sum((1, 2), keepdims=True)
        alpha = second / np.where(bottom != 0, bottom, 1)
        sums = alpha.sum((1, 2), keepdims=True)
        alpha = alpha / np.where(sums != 0, sums, 1)
        weights = (np.maximum(first, 0) * alpha).sum((1, 2))
        expected = np.maximum((weights[:, None, None] * maps).sum(0), 0)
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        assert np.allclose(cam[n], expected, atol=1e-4)


def test_large_scores_and_dead_maps_stay_finite() -> None:
    a = activation(4, 4)
    large = grad_cam_plus_plus(a, score_of(a) * 1e4)
    assert torch.isfinite(large).all()
    nothing = grad_cam_plus_plus(a, (a * 0).flatten(1).sum(1))
    assert torch.equal(nothing, torch.zeros(2, 4, 4))
    assert torch.equal(min_max(nothing), nothing)


def test_a_sample_s_map_does_not_depend_on_the_others() -> None:
    a = activation(4, 4, samples=3)
    together = grad_cam_plus_plus(a, score_of(a))
    alone = a[:1].detach().requires_grad_()
    assert torch.allclose(grad_cam_plus_plus(alone, score_of(alone)), together[:1], atol=1e-6)


def test_maps_are_brought_to_the_input() -> None:
    maps = torch.tensor([[[0.0, 1.0], [2.0, 5.0]]])
    scaled = min_max(maps)
    assert (float(scaled.min()), float(scaled.max())) == (0.0, 1.0)
    large = enlarged(maps, (8, 8))
    assert large.shape == (1, 8, 8)
    assert float(large[0, -1, -1]) == 5.0
    assert enlarged(torch.rand(2, 6), (12,)).shape == (2, 12)
