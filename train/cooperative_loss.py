"""The loss of cooperative learning, and its exact minimum for linear scores.

Ding, Li, Narasimhan & Tibshirani, "Cooperative learning for multiview analysis", PNAS 2022, used
by "Multimodal early detection of aortic stenosis" (Front. Radiol. 2025, 1698680) on two networks:

    1/2 (y - f_e - f_x)^2 + rho/2 (f_e - f_x)^2

with y 0 or 1 and the scores' sum as prediction. rho = 0 fits the sum alone (early fusion); rho = 1
draws each score to y / 2 (late fusion). Raw scores and not probabilities are summed: where the
paper puts a sigmoid is not clear [reconstruction].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


def cooperative_loss(ecg: Tensor, xray: Tensor, label: Tensor, rho: float) -> dict[str, Tensor]:
    """Compute the loss, its mean over patients.

    Parameters
    ----------
    ecg, xray
        Scores f_e and f_x, ``(N,)``.
    label
        y, ``(N,)``, 0 or 1.
    rho
        Weight of the agreement, 0 or more.

    Returns
    -------
    ``fit`` and ``agreement``, each without its weight, and ``loss``.
    """
    fit = 0.5 * (label - ecg - xray).square().mean()
    agreement = 0.5 * (ecg - xray).square().mean()
    return {"loss": fit + rho * agreement, "fit": fit, "agreement": agreement}


def stationary_ecg_score(label: Tensor, xray: Tensor, rho: float) -> Tensor:
    """Return the f_e at which the loss of a patient is smallest while f_x is held.

    ``-(y - f_e - f_x) + rho (f_e - f_x) = 0`` gives ``f_e = (y - (1 - rho) f_x) / (1 + rho)``;
    by symmetry it is the best f_x for an f_e, too.
    """
    return (label - (1.0 - rho) * xray) / (1.0 + rho)


def fit_linear(ecg: Floats, xray: Floats, label: Floats, rho: float) -> tuple[Floats, Floats]:
    """Minimise the loss over linear scores ``f = features @ weights``.

    The problem is least squares on stacked data (Ding et al., equation 6): rows ``[E, X] -> y``
    for the fit and ``sqrt(rho) [E, -X] -> 0`` for the agreement.

    Parameters
    ----------
    ecg, xray
        Features of each patient, ``(N, P)`` and ``(N, Q)``; a column of ones is an intercept.
    label
        ``(N,)``.
    rho
        Weight of the agreement.

    Returns
    -------
    Weights ``(P,)`` and ``(Q,)``.
    """
    root = np.sqrt(rho)
    design = np.block([[ecg, xray], [root * ecg, -root * xray]])
    target = np.concatenate([label, np.zeros(len(label))])
    weights, *_ = np.linalg.lstsq(design, target, rcond=None)
    return weights[: ecg.shape[1]], weights[ecg.shape[1] :]


def rescale(layer: torch.nn.Linear, slope: float, intercept: float) -> None:
    """Make a layer of one output give ``slope x`` what it gave ``+ intercept``, in place."""
    with torch.no_grad():
        layer.weight.mul_(slope)
        layer.bias.mul_(slope).add_(intercept)
