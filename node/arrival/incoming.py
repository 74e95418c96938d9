"""Takes a C-STORE's dataset to the spool while it arrives."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.spool import PartFile
from node.errors import BadObjectError, StorageFullError


class ProtocolViolationError(BadObjectError):
    """The peer breaks the protocol; the association can't go on."""


class IncomingDataset(BytesIO):
    """Stands where pynetdicom keeps a message's dataset, and spools a C-STORE's bytes instead.

    Attributes
    ----------
    request
        What the command asks for; None before the command is complete.
    part
        The spooled bytes; None when there are none or they were refused.
    refusal
        Why the bytes were not kept.
    """

    def __init__(
        self, begin: Callable[[], tuple[StoreRequest, StoreStatus | None]], intake: Intake
    ):
        super().__init__()
        self.request: StoreRequest | None = None
        self.part: PartFile | None = None
        self.refusal: StoreStatus | None = None
        self._begin = begin
        self._intake = intake
        self._refused_bytes = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take a fragment.

        Raises
        ------
        ProtocolViolationError
            A dataset is not due, or it goes on beyond the allowed size.
        """
        try:
            if self.request is None:
                self.request, self.refusal = self._begin()
                if self.refusal is None:
                    self.part = self._intake.begin(self.request)
            if self.part is not None:
                self.part.write(data)
        except BadObjectError as error:
            self.discard()
            raise ProtocolViolationError(str(error)) from error
        except (StorageFullError, OSError):
            # The rest is read and dropped: an answer tells the sender more than a broken line.
            self.discard()
            self.refusal = StoreStatus.OUT_OF_RESOURCES
        if self.part is None:
            self._refused_bytes += len(data)
            if self._refused_bytes > self._intake.max_object_bytes:
                raise ProtocolViolationError("a dataset goes on after it was refused")
        return len(data)

    def take_part(self) -> PartFile | None:
        """Hand the part over; who takes it must commit or discard it."""
        part, self.part = self.part, None
        return part

    def discard(self) -> None:
        """Remove the part."""
        part = self.take_part()
        if part is not None:
            part.discard()
