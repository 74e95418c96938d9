"""Heatmaps: where a network looked."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.echo_e3net import EchoE3Net
from models.view_net import ViewNet


def grad_cam(network: ViewNet, frames: Tensor, view: int) -> Tensor:
    """Grad-CAM of one view (Selvaraju et al., ICCV 2017) on the 14x14 map.

    Parameters
    ----------
    network
        In evaluation mode.
    frames
        ``(T, 1, 112, 112)``, grey 0 to 255.
    view
        Position of the view in VIEWS.

    Returns
    -------
    ``(T, 112, 112)``, 0 to 1; scaled by the maximum over all frames, so that frames compare.
    """
    with torch.enable_grad():
        middle, _ = network.features(frames)
        middle = middle.detach().requires_grad_()
        score = network.decide(network.blocks[-1](middle))[:, view].sum()
        (gradient,) = torch.autograd.grad(score, middle)
    weights = gradient.mean((2, 3), keepdim=True)
    cam = functional.relu((weights * middle).sum(1, keepdim=True)).detach()
    return _scaled(_enlarged(cam.float(), frames.shape[-1]))[:, 0]


def activation_gradient(network: EchoE3Net, clips: Tensor, valid: Tensor | None = None) -> Tensor:
    """|gradient x activation| of the ejection fraction on tap 2, summed over channels.

    Parameters
    ----------
    network
        In evaluation mode.
    clips, valid
        As in :meth:`EchoE3Net.features`.

    Returns
    -------
    ``(B, 32, size, size)``, 0 to 1 in each clip.
    """
    with torch.enable_grad():
        tap1, tap2, _, _ = network.features(clips, valid)
        tap1, tap2 = tap1.detach(), tap2.detach().requires_grad_()
        tap3 = network.stage3(tap2)
        prediction = network.decide((tap1, tap2, tap3, network.stage4(tap3)))
        (gradient,) = torch.autograd.grad(prediction.ejection_fraction.sum(), tap2)
    product = (gradient * tap2).detach().abs().sum(1, keepdim=True).float()
    shape = clips.shape[2:]
    large = functional.interpolate(product, size=shape, mode="trilinear", align_corners=False)
    return torch.stack([_scaled(one) for one in large[:, 0]])


def _enlarged(maps: Tensor, size: int) -> Tensor:
    return functional.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


def _scaled(maps: Tensor) -> Tensor:
    """Divide by the 99.5th percentile, so that one bright spot doesn't hide the rest."""
    flat = maps.flatten()
    rank = max(1, round(0.995 * flat.numel()))
    top = flat.kthvalue(rank).values.clamp_min(1e-12)
    return (maps / torch.maximum(top, flat.amax() * 1e-3)).clamp(0, 1)
