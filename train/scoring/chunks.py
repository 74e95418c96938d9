"""Walks through a data set in batches."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(count: int, size: int = 16) -> Iterator[list[int]]:
    """Yield the positions 0 to `count` in lists of up to `size`."""
    for at in range(0, count, size):
        yield list(range(at, min(at + size, count)))
