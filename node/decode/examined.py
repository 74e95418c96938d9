"""What a decoder says about one instance."""

from __future__ import annotations

from dataclasses import dataclass

from models.inputs import Decoded
from node.facts import InstanceFacts


@dataclass(frozen=True, slots=True)
class Examined:
    """One instance after its decoder has seen it.

    Attributes
    ----------
    instance
        The facts, always; ``colour_doppler`` is also set when only the pixels show it.
    decoded
        The typed input; None when the facts name an obstacle.
    notes
        What was unusual in header and pixels, for people and without patient data.
    """

    instance: InstanceFacts
    decoded: Decoded | None = None
    notes: tuple[str, ...] = ()
