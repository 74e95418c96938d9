"""What a training tells its card: scores, thresholds, and facts about the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """What goes into the card.

    Attributes
    ----------
    metrics
        Numbers with intervals on the test patients, and counts.
    thresholds, calibration, feature_statistics
        Chosen and measured on the validation patients.
    """

    metrics: dict[str, Any]
    thresholds: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)
    feature_statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says of a network besides its scores.

    Attributes
    ----------
    input, normalisation
        As in :class:`models.cards.Card`.
    macs
        Multiply-adds of one forward pass of one input.
    paper
        The paper's figures on its own data, by metric, and ``source``.
    """

    input: dict[str, Any]
    normalisation: dict[str, Any]
    macs: int
    paper: dict[str, Any] = field(default_factory=dict)
