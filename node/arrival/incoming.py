"""Takes a C-STORE's dataset to the spool while it arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.spool import PartFile
from node.errors import BadObjectError, StorageFullError

#: Of a dataset that is not one of C-STORE; after that an answer is not worth the reading.
_MOST_DROPPED_BYTES = 64 << 20


class ProtocolViolationError(BadObjectError):
    """The peer breaks the protocol; the association can't go on."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What becomes of the dataset of a message whose command is complete.

    Attributes
    ----------
    request
        A C-STORE's, whose dataset goes to the spool.
    refusal
        Why it does not.
    kept_bytes
        Of the dataset of another message, how much is kept in memory; what is longer is dropped.
    """

    request: StoreRequest | None = None
    refusal: StoreStatus | None = None
    kept_bytes: int = 0


class IncomingDataset(BytesIO):
    """Stands where pynetdicom keeps a message's dataset, and spools a C-STORE's bytes instead.

    Attributes
    ----------
    request
        What a C-STORE asks for; None before the command is complete.
    part
        The spooled bytes; None when there are none or they were refused.
    refusal
        Why the bytes were not kept.
    is_cut
        Whether another message's dataset was longer than what is kept, and was dropped.
    """

    def __init__(self, begin: Callable[[], Expected], intake: Intake):
        super().__init__()
        self.request: StoreRequest | None = None
        self.part: PartFile | None = None
        self.refusal: StoreStatus | None = None
        self._begin = begin
        self._intake = intake
        self.is_cut = False
        self._expected: Expected | None = None
        self._refused_bytes = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take a fragment.

        Raises
        ------
        ProtocolViolationError
            A dataset is not due, or it goes on beyond the allowed size.
        """
        try:
            if self._expected is None:
                self._expected = expected = self._begin()
                self.request, self.refusal = expected.request, expected.refusal
                if expected.request is not None and self.refusal is None:
                    self.part = self._intake.begin(expected.request)
            if self._expected.request is None:
                return self._keep(data, self._expected.kept_bytes)
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

    def _keep(self, data: bytes, most_bytes: int) -> int:
        if self.tell() + len(data) > most_bytes:
            self.is_cut = True
            self.seek(0)
            self.truncate()
        if not self.is_cut:
            return super().write(data)
        self._refused_bytes += len(data)
        if self._refused_bytes > _MOST_DROPPED_BYTES:
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
