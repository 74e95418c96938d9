"""The head of a DICOM file (PS3.10 section 7.1): writes the node's own, reads anybody's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from node.arrival.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.arrival.uid import is_uid
from node.errors import BadObjectError

_PREAMBLE = b"\0" * 128 + b"DICM"
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
#: A longer head is refused.
MAX_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileHead:
    """What a file says before its dataset.

    Attributes
    ----------
    dataset_at
        Where the dataset begins, bytes from the file's beginning.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_at: int


def encode_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Write preamble and file meta information.

    It depends on nothing else, so that an object that is sent twice is the same blob twice.
    """
    elements = b"".join(
        (
            _element(0x01, b"OB", b"\0\1"),
            _element(0x02, b"UI", _ui(sop_class_uid)),
            _element(0x03, b"UI", _ui(sop_instance_uid)),
            _element(0x10, b"UI", _ui(transfer_syntax_uid)),
            _element(0x12, b"UI", _ui(IMPLEMENTATION_CLASS_UID)),
            _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    return _PREAMBLE + _element(0x00, b"UL", struct.pack("<I", len(elements))) + elements


def read_head(data: bytes) -> FileHead:
    """Read a file's head.

    Parameters
    ----------
    data
        The beginning of the file, at least its head.

    Raises
    ------
    BadObjectError
        It is no DICOM file, or its head is damaged or longer than 1 MiB.
    """
    if data[128:132] != b"DICM":
        raise BadObjectError("it is not a DICOM file")
    values: dict[int, bytes] = {}
    at = len(_PREAMBLE)
    end = min(len(data), MAX_HEAD_BYTES)
    while at + 8 <= end:
        group, element, vr, short = struct.unpack_from("<HH2sH", data, at)
        if group != 0x0002:
            break
        value_at, length = at + 8, short
        if vr in _LONG_VRS:
            if at + 12 > end:
                raise BadObjectError("its file meta information is cut off")
            value_at, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
        at = value_at + length
        if at > end:
            raise BadObjectError("its file meta information is cut off")
        values[element] = data[value_at:at]
    uids = [_text(values.get(element, b"")) for element in (0x02, 0x03, 0x10)]
    if not is_uid(uids[2]):
        raise BadObjectError("its file meta information names no transfer syntax")
    return FileHead(uids[0], uids[1], uids[2], at)


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG_VRS:
        return struct.pack("<HH2sxxI", 0x0002, element, vr, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _ui(uid: str) -> bytes:
    value = uid.encode("ascii")
    return value + b"\0" * (len(value) % 2)


def _text(value: bytes) -> str:
    return value.strip(b" \0").decode("ascii", "replace")
