"""A PACS inside the test: pynetdicom's own C-STORE receiver, which remembers every copy."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import defaultdict
from typing import Any

from pydicom.uid import (
    Comprehensive3DSRStorage,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt

_LONGEST_ANSWER_S = 0.3


class RememberingPacs:
    """Takes reports and captures; answers after a random moment, in which the sender may die."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._copies: dict[str, list[str]] = defaultdict(list)
        self._ae = AE("PACS")
        self._ae.add_supported_context(Comprehensive3DSRStorage)
        self._ae.add_supported_context(
            MultiFrameTrueColorSecondaryCaptureImageStorage, JPEGBaseline8Bit
        )
        self._server: Any = None
        self.port = 0

    def __enter__(self) -> RememberingPacs:
        self._server = self._ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port = self._server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    @property
    def copies(self) -> dict[str, list[str]]:
        """Digests of the datasets that came, by SOP Instance UID, in the order of coming."""
        with self._lock:
            return {uid: list(digests) for uid, digests in self._copies.items()}

    @property
    def count(self) -> int:
        """How many datasets have come."""
        with self._lock:
            return sum(map(len, self._copies.values()))

    def _store(self, event: evt.Event) -> int:
        request: Any = event.request
        content = request.DataSet.getvalue()
        with self._lock:
            uid = str(request.AffectedSOPInstanceUID)
            self._copies[uid].append(hashlib.sha256(content).hexdigest())
            pause_s = self._rng.uniform(0.0, _LONGEST_ANSWER_S)
        time.sleep(pause_s)
        return 0x0000
