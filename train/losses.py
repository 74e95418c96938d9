"""The training losses: ejection fraction with borders, and views.

The terms of Echo-E3Net's loss are known only from its abstract (ejection fraction, landmark
geometry, agreement with the definition of the ejection fraction); their form here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.echo_e3net import Prediction

EF_UNIT = 0.1  # an error of ten points counts as one
BORDER_UNIT = 0.02  # an error of 2 % of the side (2.2 pixels of 112) counts as one


@dataclass(frozen=True, slots=True)
class EjectionFractionLoss:
    """Huber(EF) + `border` x SmoothL1(borders) + `simpson` x Huber(EF of the borders - EF).

    Attributes
    ----------
    border, simpson
        Weights of the second and third term.
    simpson_after
        Share of the training before which the third term is left out: the borders must look like
        borders before their volumes mean something.
    """

    border: float = 1.0
    simpson: float = 0.2
    simpson_after: float = 0.1

    def __call__(
        self, prediction: Prediction, ef: Tensor, borders: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Compute the terms.

        Parameters
        ----------
        prediction
            Of a batch of B clips.
        ef
            ``(B,)``, fractions; every clip has one.
        borders
            ``(B, 2, 20, 4)``, fractions of the side; NaN where a clip has no tracing.
        progress
            Share of the training that is done, 0 to 1.

        Returns
        -------
        ``loss`` and its terms, scalars.
        """
        ef_term = functional.huber_loss(prediction.ejection_fraction / EF_UNIT, ef / EF_UNIT)
        traced = torch.isfinite(borders).flatten(1).all(1)
        known = prediction.borders[traced]
        border_term = prediction.borders.sum() * 0.0
        simpson_term = prediction.borders.sum() * 0.0
        if traced.any():
            border_term = functional.smooth_l1_loss(
                known / BORDER_UNIT, borders[traced] / BORDER_UNIT
            )
            if progress >= self.simpson_after and self.simpson > 0:
                from_borders = simpson_ejection_fraction(known)
                simpson_term = functional.huber_loss(from_borders / EF_UNIT, ef[traced] / EF_UNIT)
        loss = ef_term + self.border * border_term + self.simpson * simpson_term
        return {
            "loss": loss,
            "ef_loss": ef_term,
            "border_loss": border_term,
            "simpson_loss": simpson_term,
        }


def point_distance(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean distance of the borders' points: two ``(B, 2, 20, 4)`` to ``(B,)``, in their unit."""
    offset = (predicted - truth).reshape(len(truth), -1, 2)
    return offset.square().sum(-1).sqrt().mean(1)


def simpson_ejection_fraction(borders: Tensor) -> Tensor:
    """Ejection fraction of borders by the single-plane sum of discs, as models.volumes has it.

    Parameters
    ----------
    borders
        ``(B, 2, 20, 4)``: end-diastole, end-systole; any unit, the scale cancels.

    Returns
    -------
    ``(B,)``, limited to -1 to 1.
    """
    left, right = borders[..., :2], borders[..., 2:]
    squared_diameter = (right - left).square().sum(-1).mean(-1)  # (B, 2)
    middle = (left + right) / 2
    steps = (middle[:, :, 1:] - middle[:, :, :-1]).square().sum(-1)
    # The floor keeps the gradient of the root finite where two mid-points coincide.
    volumes = squared_diameter * steps.clamp_min(1e-10).sqrt().sum(-1)
    ratio = volumes[:, 1] / volumes[:, 0].clamp_min(1e-5)
    return (1 - ratio).clamp(-1.0, 1.0)
