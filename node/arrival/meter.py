"""What arrival tells about itself while it works, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Takes counts and measurements; called from many threads.

    Labels are AE titles, statuses and reasons; never an identity.
    """

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a measurement to a histogram."""


class NoMeter:
    """A meter that nobody reads."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Observe nothing."""
