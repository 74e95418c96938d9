"""Takes a message's dataset to where it belongs while it arrives: the spool, memory, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass

from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.spool import PartFile
from node.arrival.violation import MessageError
from node.errors import BadObjectError, StorageFullError

#: Of a dataset that is not one of C-STORE; after that an answer is not worth the reading.
_MOST_DROPPED_BYTES = 64 << 20


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


class IncomingDataset:
    """The dataset of one message.

    Attributes
    ----------
    refusal
        Why the bytes of a C-STORE were not kept.
    """

    def __init__(self, expected: Expected, intake: Intake) -> None:
        self.refusal = expected.refusal
        self._expected = expected
        self._intake = intake
        self._part: PartFile | None = None
        self._kept = bytearray()
        self._is_cut = False
        self._dropped_bytes = 0

    @property
    def request(self) -> StoreRequest | None:
        """What a C-STORE asks for."""
        return self._expected.request

    @property
    def kept(self) -> bytes | None:
        """The bytes that were kept in memory; None when there were too many."""
        return None if self._is_cut else bytes(self._kept)

    def write(self, data: memoryview) -> None:
        """Take a fragment.

        Raises
        ------
        MessageError
            It goes on beyond the allowed size.
        """
        if self._expected.request is None:
            self._keep(data)
        elif self.refusal is None:
            self._spool(data, self._expected.request)
        else:
            self._drop(data, self._intake.max_object_bytes)

    def take_part(self) -> PartFile | None:
        """Hand the spooled bytes over; who takes them must commit or discard them."""
        part, self._part = self._part, None
        return part

    def discard(self) -> None:
        """Remove the spooled bytes."""
        part = self.take_part()
        if part is not None:
            part.discard()

    def _spool(self, data: memoryview, request: StoreRequest) -> None:
        try:
            if self._part is None:
                self._part = self._intake.begin(request)
            self._part.write(data)
        except BadObjectError as error:
            self.discard()
            raise MessageError(str(error), "size") from error
        except (StorageFullError, OSError):
            # The rest is read and dropped: an answer tells the sender more than a broken line.
            self.discard()
            self.refusal = StoreStatus.OUT_OF_RESOURCES
            self._drop(data, self._intake.max_object_bytes)

    def _keep(self, data: memoryview) -> None:
        if len(self._kept) + len(data) > self._expected.kept_bytes:
            self._is_cut = True
            self._kept.clear()
        if self._is_cut:
            self._drop(data, _MOST_DROPPED_BYTES)
        else:
            self._kept += data

    def _drop(self, data: memoryview, most_bytes: int) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > most_bytes:
            raise MessageError("a dataset goes on after it was refused", "size")
