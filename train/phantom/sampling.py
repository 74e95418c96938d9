"""How finely a clip is sampled: machines differ, so a network must not lean on one sampling."""

from __future__ import annotations

import numpy as np

from train.phantom.clip import Resolution

#: Share of clips that are sampled finely, as the display of a real machine is. Fine ones take
#: twice as long to simulate.
FINE_SHARE = 0.1


def draw_resolution(rng: np.random.Generator, fine_share: float = FINE_SHARE) -> Resolution:
    """Draw the polar sampling of a clip that is handed out at 112 pixels."""
    if rng.random() < fine_share:
        return Resolution(int(rng.integers(220, 401)), int(rng.integers(130, 221)))
    return Resolution(int(rng.integers(120, 221)), int(rng.integers(90, 131)))
