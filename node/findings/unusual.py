"""How unusual an instance is among those that a finding's network was validated on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.unusual import FeatureStatistics
from node.results import codes
from node.results.primitives import Unusual

OUTSIDE = codes.OUTSIDE_TRAINING.meaning.lower()


def unusual_of(card: Card, features: npt.NDArray[np.floating[Any]]) -> dict[str, Any] | None:
    """Compare an instance's features with the card's statistics.

    Parameters
    ----------
    features
        One row for each frame or clip of the instance, ``(rows, features)``; their median counts.

    Returns
    -------
    ``percentile`` and ``outside`` as in :class:`~node.results.primitives.Unusual`, plain JSON for
    the observation; None when the card has no statistics.
    """
    if not card.feature_statistics:
        return None
    statistics = FeatureStatistics.from_json(card.feature_statistics)
    percentile = float(np.median(statistics.percentile(features)))
    return {"percentile": round(percentile, 1), "outside": percentile > statistics.limit}


def unusual_in(observation: Mapping[str, Any]) -> Unusual | None:
    """What an observation says of it, for its group."""
    said = observation.get("unusual")
    if said is None:
        return None
    return Unusual(float(said["percentile"]), bool(said["outside"]))


def most_unusual(observations: Iterable[Mapping[str, Any]]) -> Unusual | None:
    """For an answer over several instances: that of the one farthest from the training data."""
    found = [each for each in map(unusual_in, observations) if each is not None]
    return max(found, key=lambda each: (each.outside, each.percentile), default=None)
