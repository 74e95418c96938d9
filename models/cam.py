"""Class activation maps from one layer's activation: Grad-CAM and Grad-CAM++.

Both take the activation of a layer and a score that was computed from it, and work for maps of
one, two or three dimensions. They return the raw map at the layer's resolution; :func:`enlarged`
and :func:`min_max` bring it to the input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def grad_cam(activation: Tensor, score: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017, eq. 1 and 2), for each sample by itself.

    Parameters
    ----------
    activation
        ``(N, C, *space)``, part of the graph that led to `score`.
    score
        ``(N,)``: the class score before softmax or sigmoid; row n depends on activation n only.

    Returns
    -------
    ``(N, *space)``, 0 or more.
    """
    gradient = _gradient(activation, score)
    weights = gradient.flatten(2).mean(2)
    return _weighted(weights, activation.detach().float())


def grad_cam_plus_plus(activation: Tensor, score: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018, eq. 10 and 19), for each sample by itself.

    With ``g = dS/dA`` the paper takes ``exp(S)`` for the class score, so that its derivatives are
    powers of ``g``: ``alpha = g² / (2 g² + g³ sum(A))``, 0 where ``g`` is 0, and the weight of a
    channel is ``sum(alpha relu(g))``. As in tf-keras-vis, the alphas of a channel are brought to
    the sum 1. The common factor ``exp(S)`` scales a sample's whole map and is left out: it
    overflows for large scores, and the map is normalised anyway.

    Parameters
    ----------
    activation, score
        As in :func:`grad_cam`.

    Returns
    -------
    ``(N, *space)``, 0 or more.
    """
    gradient = _gradient(activation, score).flatten(2)
    maps = activation.detach().float()
    total = maps.flatten(2).sum(2, keepdim=True)
    denominator = 2.0 + gradient * total  # of alpha, divided by g²: powers of g underflow
    known = (gradient != 0) & (denominator != 0)
    alpha = torch.where(known, 1.0 / torch.where(known, denominator, 1.0), 0.0)
    sums = alpha.sum(2, keepdim=True)
    alpha = torch.where(sums != 0, alpha / torch.where(sums != 0, sums, 1.0), alpha)
    weights = (functional.relu(gradient) * alpha).sum(2)
    return _weighted(weights, maps)


def enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate maps ``(N, *space)`` linearly to ``(N, *size)``."""
    mode = _MODES[len(size)]
    return functional.interpolate(maps[:, None], size=size, mode=mode, align_corners=False)[:, 0]


def min_max(maps: Tensor) -> Tensor:
    """Bring each map of ``(N, *space)`` to 0 to 1; a flat one becomes 0."""
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    span = high - low
    scaled = torch.where(span > 0, (flat - low) / torch.where(span > 0, span, 1.0), 0.0)
    return scaled.view_as(maps)


def _gradient(activation: Tensor, score: Tensor) -> Tensor:
    """Derivative of each sample's score by its activation, float32."""
    (gradient,) = torch.autograd.grad(score.sum(), activation)
    return gradient.float()


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Positive part of the channels' sum: weights ``(N, C)``, maps ``(N, C, *space)``."""
    return functional.relu(torch.einsum("nc,nc...->n...", weights, maps))
