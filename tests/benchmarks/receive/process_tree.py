"""What a program and its descendants use, read from /proc while they run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_POLL_S = 0.1
# After the state in /proc/PID/stat: user and system time of its own, then of children it reaped.
_TIMES = slice(11, 15)


@dataclass
class Usage:
    """What was used meanwhile.

    Attributes
    ----------
    cpu_s
        User and system time of all processes.
    peak_bytes
        Memory: the proportional share of every page before (PSS), and how much the anonymous
        memory of all processes together grew from there at most. Pages that a process shares with
        its forked child count for both if they were forked meanwhile.
    before_bytes
        That memory before.
    """

    cpu_s: float = 0.0
    peak_bytes: int = 0
    before_bytes: int = 0


@contextmanager
def watched(pid: int) -> Iterator[Usage]:
    """Measure what a process tree uses during a block."""
    usage = Usage(before_bytes=_proportional_bytes(pid))
    anonymous, used_s = _anonymous_bytes(pid), cpu_s(pid)
    most, done = [anonymous], threading.Event()

    def look() -> None:
        while not done.wait(_POLL_S):
            most[0] = max(most[0], _anonymous_bytes(pid))

    thread = threading.Thread(target=look, name="memory")
    thread.start()
    try:
        yield usage
    finally:
        usage.cpu_s = cpu_s(pid) - used_s
        done.set()
        thread.join()
        usage.peak_bytes = usage.before_bytes + max(most[0], _anonymous_bytes(pid)) - anonymous


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += map(int, (task / "children").read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process and its descendants, those that ended among them."""
    ticks = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[_TIMES]))
    return ticks / _TICKS_PER_S


def _anonymous_bytes(pid: int) -> int:
    return sum(_kilobytes(Path(f"/proc/{each}/status"), "RssAnon:") for each in family(pid)) << 10


def _proportional_bytes(pid: int) -> int:
    return sum(_kilobytes(Path(f"/proc/{each}/smaps_rollup"), "Pss:") for each in family(pid)) << 10


def _kilobytes(path: Path, key: str) -> int:
    # A zombie has no memory, and a process may end while it is looked at.
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
    return 0
