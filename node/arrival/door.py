"""A door: a listener in a process of its own, ``python -m node.arrival.door``.

It has the disk and the network to itself, but no ledger: arrivals are handed to the control process
over the line, and the sender gets its answer when that has committed. When the line ends, the door
ends at once.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import sys
from functools import partial
from threading import Thread

from node.arrival.c_store import Listener
from node.arrival.door_ledger import DONE, FAILED, DoorLedger
from node.arrival.door_line import DoorLine, Message
from node.arrival.door_meter import GatheringMeter
from node.arrival.door_orders import END, READY, DoorOrders
from node.arrival.identity import birth_key, patient_key
from node.arrival.slots import Board, SharedSlots
from node.arrival.spool import Spool
from node.commitment_desk import CommitmentDesk
from node.logs import logging_to

#: How often counts are told when nothing arrives; it also shows that the door lives.
_TELL_S = 0.5
#: The control process, its supervisor or a terminal may mean the whole group with these; doors end
#: when they are told to over the line, after what they are at.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Read the orders from stdin, listen until told to end; the exit status."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # They were held back while this process could not yet ignore them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    try:
        # From the process that started this one; the line, which goes both ways, knows only data.
        orders: DoorOrders = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):  # The control process died before it had said all.
        return 1
    sys.setswitchinterval(orders.plan.switch_interval_s)
    with logging_to(orders.plan.site_key, orders.plan.log_level):
        _serve(orders)
    return 0


def _serve(orders: DoorOrders) -> None:
    line = DoorLine(socket.socket(fileno=orders.line_fd))
    meter = GatheringMeter()
    ledger = DoorLedger(line, meter, orders.plan.derived_root)
    heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
    Thread(target=_hear, args=(line, ledger, heard), name="door-line", daemon=True).start()
    listener = _listener(orders, meter, ledger)
    listener.start()
    line.say([READY])
    drain_s = _follow(line, meter, listener, heard)
    listener.stop(drain_s)
    line.say(meter.take())


def _listener(orders: DoorOrders, meter: GatheringMeter, ledger: DoorLedger) -> Listener:
    plan = orders.plan
    board = Board(orders.board_fd, orders.doors)
    return Listener(
        plan.listen,
        plan.ae_title,
        Spool(plan.data_dir, plan.reserve_bytes, plan.listen.max_object_bytes, orders.part_prefix),
        ledger.record,
        ledger.is_own,
        partial(patient_key, plan.site_key),
        meter=meter,
        birth_key=partial(birth_key, plan.site_key),
        desk=CommitmentDesk(ledger.take_answer, meter),
        ports={name: socket.socket(fileno=fd) for name, fd in orders.port_fds.items()},
        slots=SharedSlots(plan.listen.max_associations, board, orders.number),
    )


def _follow(
    line: DoorLine,
    meter: GatheringMeter,
    listener: Listener,
    heard: queue.SimpleQueue[Message],
) -> float:
    """Do what the control process orders until it is to end; how long that may take."""
    while True:
        try:
            order, argument = heard.get(timeout=_TELL_S)
        except queue.Empty:
            line.say(meter.take())
            continue
        if order == END:
            return float(argument)
        listener.refresh_tls(force=bool(argument))


def _hear(line: DoorLine, ledger: DoorLedger, orders: queue.SimpleQueue[Message]) -> None:
    try:
        while messages := line.hear():
            for message in messages:
                if message[0] in (DONE, FAILED):
                    ledger.settle(message)
                else:
                    orders.put(message)
    finally:
        # Without the control process nothing can be recorded, and nobody can be told success.
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
