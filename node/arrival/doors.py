"""All doors of a node: listener processes on the same ports, as the control process has them.

They take what a :class:`~node.arrival.c_store.Listener` takes, each with an interpreter of its own,
so that associations do not wait for each other's, nor for what the control process computes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from functools import partial

from node.arrival.door_clerk import Clerk, DoorServices
from node.arrival.door_orders import DoorPlan
from node.arrival.door_place import DoorPlace
from node.arrival.door_process import DoorProcess
from node.arrival.ports import PLAIN, TLS, Ports, close_ports, open_ports
from node.arrival.slots import Board
from node.arrival.spool import Spool
from node.errors import DoorDiedError
from node.tls import listen_files, server_context

_log = logging.getLogger(__name__)

#: Importing the libraries takes a second, or many on a machine that is busy.
_START_S = 120.0
#: After the time for draining a door still has to end its associations and itself.
_LATE_S = 4.0


class Doors:
    """Takes instances from senders until it is stopped.

    Parameters
    ----------
    plan
        The same for each of them.
    spool
        The one that they write to, each with names of its own.
    services
        What they can't do themselves.
    """

    def __init__(self, plan: DoorPlan, spool: Spool, services: DoorServices) -> None:
        self._plan = plan
        self._spool = spool
        self._services = services
        self._count = plan.listen.door_count
        self._ports: Ports = {}
        self._addresses: dict[str, tuple[str, int]] = {}
        self._board: Board | None = None
        self._places: list[DoorPlace] = []

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that senders connect to."""
        return self._address_of(PLAIN)

    @property
    def tls_address(self) -> tuple[str, int]:
        """Host and port for TLS."""
        return self._address_of(TLS)

    @property
    def association_count(self) -> int:
        """How many associations there are now."""
        return self._board.associations if self._board is not None else 0

    @property
    def pids(self) -> list[int]:
        """Process ids of the doors."""
        return [pid for place in self._places if (pid := place.pid) is not None]

    def problem(self) -> str | None:
        """Why the node is not as able to receive as it should be, None when it is."""
        opened = sum(place.is_open for place in self._places)
        if opened == self._count:
            return None
        return f"{opened} of {self._count} listener processes run"

    def start(self) -> None:
        """Listen; connections are accepted by each door when this returns.

        Raises
        ------
        ConfigurationError
            An address can't be listened on, or the TLS files can't be used.
        DoorDiedError
            A door died before it listened.
        """
        tls = self._plan.listen.tls
        if tls.enabled:  # Doors load them for themselves; here they are only tried.
            server_context(
                listen_files(tls), require_client_certificate=tls.require_client_certificate
            )
        self._ports = open_ports(self._plan.listen)
        self._addresses = {name: each.getsockname()[:2] for name, each in self._ports.items()}
        self._board = board = Board.make(self._count)
        self._places = [self._place(number, board) for number in range(self._count)]
        deadline = time.monotonic() + _START_S
        for place in self._places:
            place.start()
        for place in self._places:
            place.settled.wait(max(0.0, deadline - time.monotonic()))
        if self.problem() is not None:
            self.stop(0.0)
            raise DoorDiedError("A listener process did not start; the log says why.")

    def refresh_tls(self, *, force: bool = False) -> None:
        """Have each door use new TLS files for further connections, if the files have changed.

        Parameters
        ----------
        force
            Load them even if they seem unchanged.
        """
        if self._plan.listen.tls.enabled:
            for place in self._places:
                place.refresh_tls(force=force)

    def stop(self, drain_s: float = 10.0) -> None:
        """Accept nobody any more, let running C-STOREs end, then end all doors.

        Parameters
        ----------
        drain_s
            After this time the running ones are cut off, too; their senders get no success.
        """
        for place in self._places:
            place.end(drain_s)
        close_ports(self._ports)
        deadline = time.monotonic() + drain_s + _LATE_S
        for place in self._places:
            if not place.join(max(0.0, deadline - time.monotonic())):
                _log.error("a listener process does not end and is killed")
                place.kill()
                place.join(_LATE_S)
        self._places = []
        if self._board is not None:
            os.close(self._board.fd)
            self._board = None

    def _place(self, number: int, board: Board) -> DoorPlace:
        def clear(door: DoorProcess) -> None:
            board.write(number, 0, 0)
            with contextlib.suppress(OSError):  # Else the next start's sweep takes them.
                self._spool.sweep_parts(door.part_prefix)

        return DoorPlace(
            f"door-{number}",
            partial(DoorProcess, self._plan, number, self._count, self._ports, board),
            Clerk(self._services),
            clear,
            partial(self._services.meter.count, "listener_deaths_total"),
        )

    def _address_of(self, name: str) -> tuple[str, int]:
        if name not in self._addresses:
            raise RuntimeError("the doors were not opened, or do not listen there")
        return self._addresses[name]
