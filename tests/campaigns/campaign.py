"""One run of a campaign: its seed, its progress bar, and its line of counts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


@dataclass
class Campaign:
    """One run of a campaign.

    Attributes
    ----------
    is_long
        Whether this is the full length, and not the short form that always runs.
    seed
        Makes the same run again.
    """

    name: str
    seed: int
    is_long: bool
    counts: dict[str, float | str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def some(self, items: Sequence[Item], short: int) -> list[Item]:
        """All items in the long form, else as many as are said, at random, in their order."""
        if self.is_long or len(items) <= short:
            return list(items)
        chosen = sorted(self.rng.sample(range(len(items)), short))
        return [items[at] for at in chosen]

    def track(self, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
        """Go through items with a progress bar."""
        yield from track(
            items, self.name, total=total, console=Console(stderr=True), disable=not self.is_long
        )

    def count(self, **counts: float | str) -> None:
        """Add to what the last line says."""
        for name, value in counts.items():
            before = self.counts.get(name)
            is_sum = isinstance(value, int) and isinstance(before, int)
            self.counts[name] = before + value if is_sum else value  # type: ignore[operator]

    def end(self) -> None:
        """Stop its clock."""
        self.ended = time.monotonic()

    @property
    def summary(self) -> str:
        """The one line."""
        told = [f"{value} {name.replace('_', ' ')}" for name, value in self.counts.items()]
        took_s = (self.ended or time.monotonic()) - self.began
        return f"{self.name}: {', '.join(told)}; seed {self.seed}, {took_s:.0f} s"
