"""A place for a door: there is one in it, or soon will be again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from node.arrival.door_clerk import Clerk
from node.arrival.door_line import Message
from node.arrival.door_orders import END, READY, REFRESH_TLS
from node.arrival.door_process import DoorProcess

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
#: A door that has lived so long is followed by the next one without a longer pause.
_STEADY_S = 60.0
#: Doors say something twice a second. One that is silent for so long does not work.
_SILENT_S = 15.0


class DoorPlace:
    """Starts a door, does what it asks for, and starts another when it has died.

    Parameters
    ----------
    open_door
        Starts a process.
    clear
        Called when one has ended, to remove what it left.
    died
        Called when one has ended that was not asked to.
    """

    def __init__(
        self,
        name: str,
        open_door: Callable[[], DoorProcess],
        clerk: Clerk,
        clear: Callable[[DoorProcess], None],
        died: Callable[[], None],
    ) -> None:
        self._open_door = open_door
        self._clerk = clerk
        self._clear = clear
        self._died = died
        self._door: DoorProcess | None = None
        self._is_open = False
        self._heard_at = 0.0
        self._ending = threading.Event()
        self._drain_s = 0.0
        #: Set when the first door accepts connections, or has died before.
        self.settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether a door accepts connections here and has lately shown that it lives."""
        return self._is_open and time.monotonic() - self._heard_at < _SILENT_S

    @property
    def pid(self) -> int | None:
        """Process id of the door that is here now."""
        door = self._door
        return door.pid if door is not None else None

    def refresh_tls(self, *, force: bool) -> None:
        """Have the TLS files loaded if they have changed."""
        door = self._door
        if door is not None:
            door.line.order([REFRESH_TLS, force])

    def end(self, drain_s: float) -> None:
        """Ask for the end, after which no other door comes."""
        self._drain_s = drain_s
        self._ending.set()
        self._order_end()

    def kill(self) -> None:
        """End the door at once."""
        door = self._door
        if door is not None:
            door.kill()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it has come."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._ending.is_set():
            began = time.monotonic()
            self._live()
            self.settled.set()
            if self._ending.is_set():
                return
            self._died()
            if time.monotonic() - began > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            self._ending.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _live(self) -> None:
        """Have one door, to its end."""
        try:
            door = self._open_door()
        except OSError as error:
            _log.error("a listener process can't be started: %s", type(error).__name__)
            return
        try:
            self._door = door
            if self._ending.is_set():
                self._order_end()
            self._attend(door)
        except Exception as error:  # noqa: BLE001  the door's edge: another one is what helps
            _log.error("a listener process is given up", exc_info=error)
            door.kill()
        finally:
            self._is_open = False
            self._door = None
            status = door.reap()
            self._clear(door)
        if not self._ending.is_set():
            _log.error("a listener process died", extra={"status": status})

    def _attend(self, door: DoorProcess) -> None:
        while messages := door.line.hear():
            self._heard_at = time.monotonic()
            answers: list[Message] = self._clerk.serve(messages)
            if [READY] in messages:
                self._is_open = True
                self.settled.set()
            try:
                if answers:
                    door.line.say(*answers)
            except OSError:  # It died before it could hear; what it still said is heard above.
                continue

    def _order_end(self) -> None:
        door = self._door
        if door is not None and not door.line.order([END, self._drain_s]):
            door.kill()  # It does not read any more.
