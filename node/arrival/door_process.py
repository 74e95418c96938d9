"""The process of a door as the control process has it: started, ordered, reaped."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import node
from node.arrival.door_line import DoorLine
from node.arrival.door_orders import DoorOrders, DoorPlan
from node.arrival.ports import Ports
from node.arrival.slots import Board

#: A door that has closed its line ends by itself within this time, or is killed.
_LAST_S = 2.0
_HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class DoorProcess:
    """One door, from its start to its end.

    It is a fresh interpreter and no fork: a copy of a process with threads would have their locks,
    locked for ever, and the networks' memory.

    Parameters
    ----------
    number
        Its row on the board.
    doors
        How many there are.
    ports
        It inherits them; they stay open here for its successor.

    Raises
    ------
    OSError
        There is no room for another process, or for its descriptors.
    """

    def __init__(self, plan: DoorPlan, number: int, doors: int, ports: Ports, board: Board) -> None:
        self.part_prefix = f"door{number}-{secrets.token_hex(4)}-"
        ours, theirs = socket.socketpair()
        self.line = DoorLine(ours)
        fds = {name: each.fileno() for name, each in ports.items()}
        orders = DoorOrders(plan, number, doors, self.part_prefix, theirs.fileno(), board.fd, fds)
        try:
            with theirs, _signals_held_back():
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "node.arrival.door"],
                    stdin=subprocess.PIPE,
                    pass_fds=(theirs.fileno(), board.fd, *fds.values()),
                    env=_environment(),
                    # Ctrl-C in the operator's terminal is for the node, which then drains doors.
                    start_new_session=True,
                )
        except OSError:
            self.line.close()
            raise
        if self._process.stdin is not None:
            _tell(orders, self._process.stdin)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once; from any thread."""
        self._process.kill()

    def reap(self) -> int:
        """Wait for its end, after its line has ended; its exit status, -9 when it was killed."""
        try:
            self._process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.line.close()
        return self._process.wait()


def _tell(orders: DoorOrders, pipe: IO[bytes]) -> None:
    # Not by its arguments or its environment, where others could read the site's key. One that has
    # died already is noticed at the end of its line.
    with contextlib.suppress(OSError), pipe:
        pickle.dump(orders, pipe)


def _environment() -> dict[str, str]:
    root = Path(node.__file__).resolve().parent.parent
    search = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
    # Threads of numeric libraries reserve address space and gain nothing here.
    return os.environ | {
        "PYTHONPATH": search, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """A child that starts in this block gets them only when it has said that it ignores them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
