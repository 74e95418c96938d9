"""The demo's PACS: takes what the node sends and remembers when it came."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from node.arrival.c_store import Listener
from node.arrival.spool import Spool
from node.config_listen import ListenSettings
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome


class Receiver:
    """A C-STORE receiver on a free port of this machine."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cardionode-pacs-")
        path = Path(self._folder.name)
        for part in ("spool/in", "spool/obj"):
            (path / part).mkdir(parents=True)
        self._arrived: dict[str, float] = {}
        self._listener = Listener(
            ListenSettings().model_copy(update={"port": 0}),
            "DEMOPACS",
            Spool(path, 0),
            self._record,
            lambda header: False,
            lambda patient_id, issuer: "",
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._listener.address

    def start(self) -> None:
        """Listen."""
        self._listener.start()

    def stop(self) -> None:
        """Close, and throw away what was received: the folder destination keeps its own copy."""
        self._listener.stop()
        self._folder.cleanup()

    def arrived_at(self, sop_instance_uid: str) -> float | None:
        """When an instance was stored, epoch seconds; None when it has not come."""
        return self._arrived.get(sop_instance_uid)

    def _record(self, arrival: Arrival, quarantine_reason: str | None) -> ArrivalOutcome:
        self._arrived.setdefault(arrival.sop_instance_uid, time.time())
        return ArrivalOutcome.STORED
