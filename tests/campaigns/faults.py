"""Faults from within a process, for machines on which nobody may trace another."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

#: What can be disturbed without a tracer; "commit" is the moment before a ledger's.
PYTHON_CALLS = ("write", "fdatasync", "fsync", "rename", "mkdir", "commit")


@dataclass(frozen=True)
class PythonFault:
    """Something happens at the `first` to `last` call of a kind.

    Attributes
    ----------
    error
        Name of the error that the calls fail with; "KILL" ends the process.
    """

    call: str
    error: str
    first: int
    last: int

    def to_json(self) -> dict[str, Any]:
        """As a request holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PythonFault:
        """Of a request."""
        return cls(**values)


def install(fault: PythonFault) -> None:
    """Disturb this process from now on; it can't be undone."""
    count = 0

    def strike() -> None:
        nonlocal count
        count += 1
        if fault.first <= count <= fault.last:
            if fault.error == "KILL":
                os.kill(os.getpid(), signal.SIGKILL)
            code = getattr(errno, fault.error)
            raise OSError(code, os.strerror(code))

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def disturbed(*args: Any, **kwargs: Any) -> Any:
            strike()
            return call(*args, **kwargs)

        return disturbed

    if fault.call == "commit":
        event.listen(Engine, "commit", lambda _: strike())
        return
    setattr(os, fault.call, before(getattr(os, fault.call)))
    if fault.call in ("rename", "mkdir"):
        setattr(Path, fault.call, before(getattr(Path, fault.call)))
