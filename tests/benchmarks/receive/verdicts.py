"""What the node must reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.receive.measurement import Case, Measured

NODE, SINK = "node", "sink"
_OF_ORTHANC, _OF_STORESCP, _OF_A_NAGLING_SENDER = 2.5, 0.7, 3.0

#: By receiver and case, one of each round.
Found = Mapping[tuple[str, Case], Sequence[Measured]]


@dataclass(frozen=True)
class Verdict:
    """How the node compares with one peer in one case.

    Attributes
    ----------
    ratio, lowest, highest
        Objects per second of the node by those of the peer: the rounds' median, and its spread.
    floor
        What the ratio must reach at least, None when nothing is asked.
    """

    case: Case
    peer: str
    ratio: float
    lowest: float
    highest: float
    floor: float | None

    @property
    def says(self) -> str:
        """For tables: PASS, MISS, or nothing."""
        if self.floor is None:
            return ""
        return "PASS" if self.ratio >= self.floor else "MISS"


def floor_of(case: Case, peer: str) -> float | None:
    """What is asked of the node against a peer: the higher one where two floors apply."""
    floors = []
    if peer == "orthanc":
        floors.append(_OF_ORTHANC)
    if peer == "storescp" and not case.nagle:
        floors.append(_OF_STORESCP)
    if case.nagle and peer != SINK:
        floors.append(_OF_A_NAGLING_SENDER)
    return max(floors, default=None)


def verdicts(found: Found) -> list[Verdict]:
    """Compare the node with every peer, each round with itself: noise is shared within one."""
    made = []
    for (peer, case), theirs in found.items():
        ours = found.get((NODE, case), ())
        ratios = [
            own.objects_per_s / their.objects_per_s
            for own, their in zip(ours, theirs, strict=False)
            if their.objects_per_s and not their.problem
        ]
        if peer != NODE and ratios:
            made.append(
                Verdict(case, peer, median(ratios), min(ratios), max(ratios), floor_of(case, peer))
            )
    return made
