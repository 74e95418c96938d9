"""Where EcgNet looks: which leads, and when in each lead.

The two-phase map of "Multimodal early detection of aortic stenosis using deep learning on ECG and
chest X-ray with cooperative learning" (Front. Radiol. 2025, 1698680): attention says which leads,
Grad-CAM when. The class token's attention is that of the last layer, averaged over heads and
divided among the leads [reconstruction: the paper does not name the layer].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from models.cam import enlarged, grad_cam
from models.ecg_net import WIDTH, EcgNet


class EcgSaliency(NamedTuple):
    """What moved the score up, for N windows.

    Attributes
    ----------
    heat
        ``(N, 12, 1000)``, 0 to 1; one scale for all leads and windows of the call, so that they
        compare. All 0 where nothing speaks for a stenosis.
    lead_weights
        ``(N, 12)``, the share of the class token's attention to the leads; sums to 1.
    """

    heat: Tensor
    lead_weights: Tensor


def two_phase_map(network: EcgNet, windows: Tensor) -> EcgSaliency:
    """Multiply each lead's Grad-CAM in time with the attention to the lead.

    Parameters
    ----------
    network
        In evaluation mode.
    windows
        ``(N, 12, 1000)``, as :meth:`EcgNet.forward` takes them.
    """
    n, leads, samples = windows.shape
    with torch.no_grad():
        last = network.lead.maps(windows.reshape(n * leads, samples))
    with torch.enable_grad():
        maps = last.detach().requires_grad_()
        output = network.decide(network.lead.describe(maps).view(n, leads, WIDTH))
        # A window's score depends on the maps of its own leads only, so its gradient is theirs.
        in_time = grad_cam(maps, output.score)
    weights = lead_weights(output.attention.detach())
    heat = enlarged(in_time, (samples,)).view(n, leads, samples) * weights[:, :, None]
    return EcgSaliency(heat / heat.amax().clamp_min(1e-12), weights)


def lead_weights(attention: Tensor) -> Tensor:
    """Share the class token's attention among the leads.

    Parameters
    ----------
    attention
        ``(N, layers, heads, 1 + leads)``, as in `models.ecg_net.EcgOutput`.

    Returns
    -------
    ``(N, leads)``: of the last layer, mean over heads, without what the token gives itself.
    """
    to_leads = attention[:, -1].mean(1)[:, 1:]
    return to_leads / to_leads.sum(1, keepdim=True).clamp_min(1e-12)
