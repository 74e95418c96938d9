"""Which findings can be made here: those whose weights and cards are all in place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.cards import WEIGHTS_FOLDER, BadWeightsError, Card, read_card, verified_blob
from node.findings.base import Finding


@dataclass(frozen=True)
class Installed:
    """The cards that were read, and what is wrong with the others.

    Attributes
    ----------
    cards
        By weights name; each belongs to the blob beside it.
    problems
        For each missing or wrong card or blob a sentence, by weights name.
    """

    cards: dict[str, Card]
    problems: dict[str, str]

    def problem_of(self, finding: Finding) -> str | None:
        """Why a finding can't be made on this machine, None when it can."""
        found = [self.problems[name] for name in finding.networks if name in self.problems]
        return "; ".join(found) or None


def look_for_weights(findings: Iterable[Finding], folder: Path = WEIGHTS_FOLDER) -> Installed:
    """Read the cards of the findings' networks and compare the blobs with them."""
    cards: dict[str, Card] = {}
    problems: dict[str, str] = {}
    for name in dict.fromkeys(name for finding in findings for name in finding.networks):
        try:
            card = read_card(name, folder)
            verified_blob(card, folder)
        except BadWeightsError as error:
            problems[name] = str(error)
        else:
            cards[name] = card
    return Installed(cards, problems)
