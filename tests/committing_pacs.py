"""A PACS inside the test that stores, and answers requests for storage commitment as it is told."""

from __future__ import annotations

import threading
from typing import Any, Literal

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE

Manner = Literal["same", "new", "later"]


class CommittingPacs:
    """Stores what comes and remembers what it is asked.

    Parameters
    ----------
    manner
        Whether it answers on the association of the request, on a new one, or when told to.

    Attributes
    ----------
    failures
        Failure Reason of the instances that it does not commit, by UID.
    action_status
        What an N-ACTION is answered with.
    node_port
        Where it finds the node.
    """

    def __init__(self, manner: Manner = "same") -> None:
        self.manner: Manner = manner
        self.failures: dict[str, int] = {}
        self.action_status = 0x0000
        self.node_port = 0
        self.proposes_role = True
        self.stored: list[str] = []
        self.asked: list[Dataset] = []
        self.responses: list[int] = []
        self._threads: list[threading.Thread] = []
        self._ae = AE("PACS")
        for sop_class in (Comprehensive3DSRStorage, ComprehensiveSRStorage):
            self._ae.add_supported_context(sop_class)
        self._ae.add_supported_context(
            MultiFrameTrueColorSecondaryCaptureImageStorage, JPEGBaseline8Bit
        )
        self._server: Any = None
        self.port = 0

    def start(self, *, commits: bool = True) -> None:
        """Listen, on the same port as before."""
        if commits:
            self._ae.add_supported_context(PUSH_MODEL)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_action),
        ]
        self._server = self._ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers
        )
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """End, if it runs, after the answers that are on their way."""
        for thread in self._threads:
            thread.join(20.0)
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def answer(self, transaction_uid: str | None = None) -> int:
        """Answer the last request on a new association; the status of the response."""
        ds, event_type = self._information(self.asked[-1])
        if transaction_uid is not None:
            ds.TransactionUID = transaction_uid
        return self.notify(ds, event_type)

    def notify(self, ds: Dataset, event_type: int, instance: str = PUSH_MODEL_INSTANCE) -> int:
        """Send any N-EVENT-REPORT on a new association."""
        ae = AE("PACS")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20.0
        assoc = ae.associate(
            "127.0.0.1",
            self.node_port,
            contexts=[build_context(PUSH_MODEL)],
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)] if self.proposes_role else [],
        )
        assert assoc.is_established
        if self.proposes_role:  # the role that it asked for
            (context,) = assoc.accepted_contexts
            assert (context.as_scp, context.as_scu) == (True, False)
        status, _ = assoc.send_n_event_report(ds, event_type, PUSH_MODEL, instance)
        assoc.release()
        self.responses.append(int(status.Status) if "Status" in status else -1)
        return self.responses[-1]

    def _on_store(self, event: evt.Event) -> int:
        self.stored.append(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]
        return 0x0000

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        assert event.action_type == 1
        ds = event.action_information
        self.asked.append(ds)
        if self.action_status == 0x0000 and self.manner != "later":
            thread = threading.Thread(target=self._answer_soon, args=(event.assoc, ds))
            self._threads.append(thread)
            thread.start()
        return self.action_status, None

    def _answer_soon(self, assoc: Any, asked: Dataset) -> None:
        # The response to the request goes out first.
        threading.Event().wait(0.2)
        ds, event_type = self._information(asked)
        if self.manner == "new":
            self.notify(ds, event_type)
            return
        status, _ = assoc.send_n_event_report(ds, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        self.responses.append(int(status.Status) if "Status" in status else -1)

    def _information(self, asked: Dataset) -> tuple[Dataset, int]:
        """Answer as PS3.4 section J.3.3.1.2 has it: every instance, committed or failed."""
        ds = Dataset()
        ds.TransactionUID = asked.TransactionUID
        kept, failed = [], []
        for each in asked.ReferencedSOPSequence:
            item = Dataset()
            item.ReferencedSOPClassUID = each.ReferencedSOPClassUID
            item.ReferencedSOPInstanceUID = each.ReferencedSOPInstanceUID
            reason = self.failures.get(str(each.ReferencedSOPInstanceUID))
            if reason is None:
                kept.append(item)
            else:
                item.FailureReason = reason
                failed.append(item)
        if kept:
            ds.ReferencedSOPSequence = Sequence(kept)
        if failed:
            ds.FailedSOPSequence = Sequence(failed)
        return ds, 2 if failed else 1
