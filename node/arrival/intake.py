"""Takes an instance in: the order of steps that makes "success" mean durable.

Part file, header, sync, final name, its sync, ledger row, answer. A failure before the ledger row
leaves nothing behind that counts, and the sender is told to send again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from node.arrival.header import Header
from node.arrival.meter import Meter, NoMeter
from node.arrival.part10 import MAX_HEAD_BYTES, encode_head, read_head
from node.arrival.prescan import HeaderGoesOnError, ScanLimits, UnreadableHeaderError, prescan
from node.arrival.spool import PartFile, Spool
from node.arrival.uid import is_uid
from node.errors import BadObjectError, StorageFullError
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome

_log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20

Record = Callable[[Arrival, str | None], ArrivalOutcome]


class StoreStatus(IntEnum):
    """What a C-STORE is answered with: PS3.4 Annex B.2.3, PS3.7 Annex C."""

    SUCCESS = 0x0000  #: Bytes and ledger row are on stable storage.
    SOP_CLASS_NOT_SUPPORTED = 0x0122  #: The command names another class than its context.
    OUT_OF_RESOURCES = 0xA700  #: The disk is below its reserve, or failed: send again later.
    DATASET_MISMATCH = 0xA900  #: The dataset is another instance than the command says.
    CANNOT_UNDERSTAND = 0xC000  #: No dataset, or its UID is none.


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a sender says of the instance that it sends."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str


class Intake:
    """Turns received bytes into a durable arrival; thread-safe.

    Parameters
    ----------
    record
        Writes the ledger row and returns when it is durable. The second argument is the reason to
        quarantine the instance, or None.
    is_own
        Tells a result of this node that came back.
    patient_key
        Makes the keyed hash of patient ID and issuer.
    birth_key
        Makes that of patient ID, issuer and birth date.
    """

    def __init__(
        self,
        spool: Spool,
        record: Record,
        is_own: Callable[[Header], bool],
        patient_key: Callable[[bytes, bytes], str],
        limits: ScanLimits | None = None,
        meter: Meter | None = None,
        birth_key: Callable[[bytes, bytes, str], str] = lambda *_: "",
    ) -> None:
        self._spool = spool
        self._record = record
        self._is_own = is_own
        self._patient_key = patient_key
        self._birth_key = birth_key
        self._limits = limits if limits is not None else ScanLimits()
        self._meter: Meter = meter if meter is not None else NoMeter()

    @property
    def max_object_bytes(self) -> int:
        """Largest instance that is taken."""
        return self._spool.max_object_bytes

    def begin(self, request: StoreRequest) -> PartFile:
        """Open a part and write the file's head into it; the dataset's bytes follow.

        Raises
        ------
        StorageFullError
            The disk is full or below its reserve.
        """
        head = encode_head(
            request.sop_class_uid, request.sop_instance_uid, request.transfer_syntax_uid
        )
        part = self._spool.begin()
        try:
            part.write_head(head)
        except (OSError, StorageFullError):
            part.discard()
            raise
        return part

    def take_file(self, path: Path, calling_ae_title: str) -> StoreStatus:
        """Take a DICOM file in as if it had been sent.

        Raises
        ------
        BadObjectError
            It is no DICOM file, or its head names no instance.
        StorageFullError
            The disk is full or below its reserve.
        """
        part: PartFile | None = None
        try:
            with path.open("rb") as source:
                head = read_head(source.read(MAX_HEAD_BYTES))
                if not (is_uid(head.sop_class_uid) and is_uid(head.sop_instance_uid)):
                    raise BadObjectError("its file meta information names no instance")
                request = StoreRequest(
                    head.sop_class_uid,
                    head.sop_instance_uid,
                    head.transfer_syntax_uid,
                    calling_ae_title,
                )
                part = self.begin(request)
                source.seek(head.dataset_at)
                while chunk := source.read(_CHUNK_BYTES):
                    part.write(chunk)
        except (OSError, BadObjectError, StorageFullError):  # Even closing the source may fail.
            if part is not None:
                part.discard()
            raise
        return self.take(part, request)

    def take(self, part: PartFile, request: StoreRequest) -> StoreStatus:
        """Make a complete part an arrival, durably; the part is used up in any case."""
        try:
            status = self._take(part, request)
        except Exception as error:  # noqa: BLE001
            # The boundary to a sender, who must get an answer: whatever failed (disk, ledger, a
            # bug), the instance is not safe, and sending it again is what helps.
            _log.error("an instance could not be stored: %s", type(error).__name__)
            self._meter.count("store_failures_total", reason=type(error).__name__)
            status = StoreStatus.OUT_OF_RESOURCES
        if status is not StoreStatus.SUCCESS:
            part.discard()
        return status

    def _take(self, part: PartFile, request: StoreRequest) -> StoreStatus:
        if part.size_bytes == part.head_bytes:
            return StoreStatus.CANNOT_UNDERSTAND
        reason: str | None
        try:
            header = self._scan(part, request.transfer_syntax_uid)
            is_whole, reason = True, _identity_gap(header)
        except UnreadableHeaderError as error:
            header, is_whole, reason = error.partial, False, str(error)
        if not _matches(header, request, is_whole):
            return StoreStatus.DATASET_MISMATCH
        blob = part.commit()
        outcome = self._record(
            Arrival(
                sha256=blob.sha256,
                size_bytes=blob.size_bytes,
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                series_instance_uid=header.series_instance_uid,
                study_instance_uid=header.study_instance_uid,
                transfer_syntax_uid=request.transfer_syntax_uid,
                modality=header.modality,
                patient_key=self._patient_key(header.patient_id, header.issuer),
                calling_ae_title=request.calling_ae_title,
                own_result=self._is_own(header),
                birth_key=self._birth_key(header.patient_id, header.issuer, header.birth_date),
                acquired_at=header.acquired_at,
            ),
            reason,
        )
        self._meter.count("arrivals_total", outcome=outcome.value)
        if reason is not None:
            self._meter.count("quarantined_total", reason=reason)
        return StoreStatus.SUCCESS

    def _scan(self, part: PartFile, transfer_syntax_uid: str) -> Header:
        try:
            return prescan(
                part.beginning,
                transfer_syntax_uid,
                self._limits,
                dataset_bytes=part.size_bytes - part.head_bytes,
            )
        except HeaderGoesOnError:
            return prescan(part.path, transfer_syntax_uid, self._limits, dataset_at=part.head_bytes)


def _identity_gap(header: Header) -> str | None:
    claims = {
        "study": header.study_instance_uid,
        "series": header.series_instance_uid,
    }
    missing = [name for name, value in claims.items() if not value]
    return f"no_identity: {' and '.join(missing)} missing or malformed" if missing else None


def _matches(header: Header, request: StoreRequest, is_whole: bool) -> bool:
    """Compare the dataset's UIDs with the command's; a damaged header may lack them."""
    claimed = (header.sop_class_uid, header.sop_instance_uid)
    asked = (request.sop_class_uid, request.sop_instance_uid)
    if is_whole:
        return claimed == asked
    return all(one in ("", other) for one, other in zip(claimed, asked, strict=True))
