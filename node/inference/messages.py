"""What goes through the pipe between the control process and an inference host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Precision = Literal["auto", "float32", "bfloat16"]
Arrays = dict[str, npt.NDArray[Any]]
ArrayMapping = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How a host computes.

    Attributes
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``auto`` is bfloat16 on a GPU and float32 on a CPU.
    threads
        Of torch; 0 for one per core.
    networks
        Names of the weights to load; None for all.
    """

    device: str = "auto"
    precision: Precision = "auto"
    threads: int = 0
    networks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class HostInfo:
    """What a host says when it is ready.

    Attributes
    ----------
    device, precision
        As resolved, e.g. ``cuda:0`` and ``bfloat16``.
    networks
        Names of the networks that are resident.
    problems
        For each network that is not: why, in a sentence.
    """

    pid: int
    device: str
    precision: str
    networks: tuple[str, ...]
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of one task.

    Attributes
    ----------
    arrays
        Each with the rows of the call on its first axis.
    """

    id: int
    network: str
    task: str
    arrays: Arrays

    @property
    def rows(self) -> int:
        """Number of clips or frames."""
        return len(next(iter(self.arrays.values())))

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for requests that can be computed in one batch."""
        shapes = tuple(
            (name, array.shape[1:], array.dtype.str) for name, array in sorted(self.arrays.items())
        )
        return (self.network, self.task, shapes)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no result.

    Attributes
    ----------
    transient
        A later attempt may succeed: the device had too little memory.
    """

    text: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request: outputs with the request's rows on the first axis, or a failure."""

    id: int
    result: Arrays | Failure


def check_arrays(arrays: ArrayMapping) -> None:
    """Refuse what can't be batched.

    Raises
    ------
    ValueError
        No arrays, an array of objects, or arrays that differ in their number of rows.
    """
    if not arrays:
        raise ValueError("a task needs at least one array")
    rows = {
        len(array) if isinstance(array, np.ndarray) and array.ndim else -1
        for array in arrays.values()
    }
    if len(rows) > 1 or rows <= {-1, 0}:
        raise ValueError("the arrays of a task must have the same number of rows, at least one")
    if any(array.dtype.hasobject for array in arrays.values()):
        raise ValueError("the arrays of a task must hold numbers")
