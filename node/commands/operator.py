"""Hands a request to the node that runs, or carries it out when none does."""

from __future__ import annotations

from node.data_dir import DataDir
from node.errors import DataDirInUseError
from node.ledger.ledger import Ledger
from node.operator_requests import OperatorRequest, RequestBox, carry_out


def request_box(data_dir: DataDir) -> RequestBox:
    """The box of a node, in its data directory."""
    return RequestBox(data_dir.path / "requests")


def perform(request: OperatorRequest, data_dir: DataDir) -> int:
    """Have a request carried out.

    Returns
    -------
    How many jobs and deliveries wait because of it.

    Raises
    ------
    LedgerError
        There is no ledger yet, or it can't be used.
    UnreachableError
        A node has the data directory and does not answer.
    """
    # Opened for reading first: asking for work must not make a data directory that nobody has.
    Ledger.open(data_dir.ledger, read_only=True).close()
    try:
        with data_dir, Ledger.open(data_dir.ledger) as ledger:
            return carry_out(request, ledger)
    except DataDirInUseError:
        return request_box(data_dir).ask(request)
