"""What a host has resident: networks with their tasks, found by the path of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import cast

from node.inference.messages import Arrays, HostSettings


@dataclass(frozen=True, slots=True)
class HostedTask:
    """Something a resident network can do.

    Attributes
    ----------
    compute
        Arrays with rows first to arrays with the same rows first. It raises MemoryError or
        torch's OutOfMemoryError when the batch was too large.
    most_rows
        Rows that are safe in memory.
    example
        One row, for the warm-up.
    alone
        Rows depend on each other: the rows of one request are computed together, and with no
        others.
    """

    compute: Callable[[Arrays], Arrays]
    most_rows: int
    example: Arrays
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Hosted:
    """Everything a host serves.

    Attributes
    ----------
    device, precision
        As resolved from the settings.
    tasks
        By network and task.
    problems
        For each network that could not be loaded: why, in a sentence.
    """

    device: str
    precision: str
    tasks: Mapping[tuple[str, str], HostedTask]
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the resident networks."""
        return tuple(sorted({network for network, _ in self.tasks}))


Registry = Callable[[HostSettings], Hosted]


def find_registry(path: str) -> Registry:
    """Import ``package.module:function``.

    Raises
    ------
    ImportError, AttributeError, ValueError
        The path leads nowhere.
    """
    module, separator, name = path.partition(":")
    if not separator:
        raise ValueError(f"a registry is package.module:function, not {path}")
    return cast(Registry, getattr(import_module(module), name))
