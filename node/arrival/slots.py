"""How many associations there may be, in one process or in several that share a board."""

from __future__ import annotations

import mmap
import os
from threading import Lock

#: How long a process that has more to do than another leaves a caller to that one.
_DEFERENCE_S = 0.002
#: For each process: its associations, and its callers that have none yet.
_COLUMNS = 2


class Slots:
    """Counts the associations of one process; thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._lock = Lock()

    def take(self) -> bool:
        """Take a slot; False when none is free."""
        with self._lock:
            if self._taken >= self._limit:
                return False
            self._taken += 1
            return True

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            self._taken -= 1

    def came(self) -> None:
        """Tell that a caller was accepted, who has no slot yet."""

    def went(self) -> None:
        """Tell that a caller has got a slot, or has gone."""

    def deference_s(self) -> float:
        """How long to leave the next caller to another process."""
        return 0.0


class Board:
    """Memory in which several processes see each other's counts.

    Each row is written by one process only, so that there is no lock that a killed one could keep.

    Parameters
    ----------
    fd
        Of the memory; it stays the caller's.
    rows
        One for each process.
    """

    def __init__(self, fd: int, rows: int) -> None:
        self.fd = fd
        self._rows = rows
        self._memory = mmap.mmap(fd, _size(rows))
        self._cells = memoryview(self._memory).cast("I")

    @classmethod
    def make(cls, rows: int) -> Board:
        """Make one of zeros, whose descriptor this process keeps."""
        fd = os.memfd_create("cardionode-doors", os.MFD_CLOEXEC)
        os.ftruncate(fd, _size(rows))
        return cls(fd, rows)

    def write(self, row: int, associations: int, callers: int) -> None:
        """Say how many there are at one process."""
        self._cells[row * _COLUMNS] = associations
        self._cells[row * _COLUMNS + 1] = callers

    @property
    def associations(self) -> int:
        """Those of all processes."""
        return sum(self._cells[::_COLUMNS])

    def load(self, row: int) -> int:
        """How many peers one process has to do with."""
        return self._cells[row * _COLUMNS] + self._cells[row * _COLUMNS + 1]

    def least_load(self) -> int:
        """That of the process which has the fewest."""
        return min(self.load(row) for row in range(self._rows))


class SharedSlots(Slots):
    """Counts for all processes of a board; thread-safe.

    Parameters
    ----------
    limit
        For all of them together. Each takes first and looks afterwards, without a lock: two that
        take the last slot in the same instant both give it back, and their callers come again.
        Where one's count reaches the other late, the limit may be exceeded by less than the number
        of processes.
    row
        Ours.
    """

    def __init__(self, limit: int, board: Board, row: int) -> None:
        super().__init__(limit)
        self._board = board
        self._row = row
        self._callers = 0

    def take(self) -> bool:
        """Take a slot; False when none is free."""
        with self._lock:
            self._taken += 1
            self._tell()
            if self._board.associations <= self._limit:
                return True
            self._taken -= 1
            self._tell()
            return False

    def give(self) -> None:
        """Give a slot back."""
        with self._lock:
            self._taken -= 1
            self._tell()

    def came(self) -> None:
        """Tell that a caller was accepted, who has no slot yet."""
        with self._lock:
            self._callers += 1
            self._tell()

    def went(self) -> None:
        """Tell that a caller has got a slot, or has gone."""
        with self._lock:
            self._callers -= 1
            self._tell()

    def deference_s(self) -> float:
        """How long to leave the next caller to a process that has less to do."""
        is_least = self._board.load(self._row) <= self._board.least_load()
        return 0.0 if is_least else _DEFERENCE_S

    def _tell(self) -> None:
        self._board.write(self._row, self._taken, self._callers)


def _size(rows: int) -> int:
    return rows * _COLUMNS * 4
