"""Serves C-STORE (PS3.4 Annex B): what becomes of an instance, and what its sender is told."""

from __future__ import annotations

import logging
import time

from node.arrival.command import Command
from node.arrival.incoming import Expected
from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.message_reader import Message
from node.arrival.meter import Meter
from node.arrival.negotiation import AcceptedContext, is_storage_class
from node.arrival.uid import is_uid

_log = logging.getLogger(__name__)


class StoreService:
    """Answers C-STORE requests; thread-safe."""

    def __init__(self, intake: Intake, meter: Meter) -> None:
        self._intake = intake
        self._meter = meter

    def expect(self, command: Command, context: AcceptedContext, ae_title: str) -> Expected:
        """Say what becomes of the dataset.

        Parameters
        ----------
        ae_title
            The sender's.
        """
        request = StoreRequest(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae_title=ae_title,
        )
        named = context.abstract_syntax
        if command.sop_class_uid != named or not is_storage_class(named):
            return Expected(request, StoreStatus.SOP_CLASS_NOT_SUPPORTED)
        if not is_uid(command.sop_instance_uid):
            return Expected(request, StoreStatus.CANNOT_UNDERSTAND)
        return Expected(request)

    def answer(self, message: Message, ae_title: str) -> StoreStatus:
        """Take the instance in, durably; the status of the response."""
        began = time.monotonic()
        size_bytes = 0
        status = StoreStatus.CANNOT_UNDERSTAND
        dataset = message.dataset
        if dataset is not None and dataset.request is not None:
            part = dataset.take_part()
            if part is not None:
                size_bytes = part.size_bytes
                status = self._intake.take(part, dataset.request)
            elif dataset.refusal is not None:
                status = dataset.refusal
        self._meter.count("store_requests_total", ae=ae_title, status=f"0x{status:04X}")
        self._meter.count("store_bytes_total", size_bytes, ae=ae_title)
        self._meter.observe("store_duration_seconds", time.monotonic() - began)
        if status is not StoreStatus.SUCCESS:
            _log.warning("an instance was refused: %s", status.name)
        return status
