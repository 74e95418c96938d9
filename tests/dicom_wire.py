"""Speaks DICOM's upper layer byte by byte, to say what no library would."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 2, 3, 4, 6, 7
COMMAND, COMMAND_END, DATASET, DATASET_END = 1, 3, 0, 2

Context = tuple[int, str, Sequence[str]]


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU; ``length`` lies about the body's."""
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def associate_rq(contexts: Sequence[Context], calling: str = "TEST", called: str = "ANY") -> bytes:
    """An A-ASSOCIATE-RQ for presentation contexts of id, abstract and transfer syntaxes."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for context_id, abstract, transfers in contexts:
        inner = _item(0x30, abstract.encode())
        inner += b"".join(_item(0x40, each.encode()) for each in transfers)
        items += _item(0x20, struct.pack("BBBB", context_id, 0, 0, 0) + inner)
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4")
    items += _item(0x50, user)
    head = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    return pdu(0x01, head + items)


def p_data(context_id: int, control: int, fragment: bytes) -> bytes:
    """A P-DATA-TF with one fragment."""
    value = struct.pack(">IBB", len(fragment) + 2, context_id, control) + fragment
    return pdu(P_DATA, value)


def store_command(
    sop_class: bytes, sop_instance: bytes, *, message_id: int = 1, has_dataset: bool = True
) -> bytes:
    """The command set of a C-STORE-RQ."""
    elements = b"".join(
        (
            element(0x0000, 0x0002, _even(sop_class)),
            element(0x0000, 0x0100, struct.pack("<H", 0x0001)),
            element(0x0000, 0x0110, struct.pack("<H", message_id)),
            element(0x0000, 0x0700, struct.pack("<H", 0)),
            element(0x0000, 0x0800, struct.pack("<H", 1 if has_dataset else 0x0101)),
            element(0x0000, 0x1000, _even(sop_instance)),
        )
    )
    return element(0x0000, 0x0000, struct.pack("<I", len(elements))) + elements


def element(group: int, number: int, value: bytes) -> bytes:
    """An implicit VR little endian element."""
    return struct.pack("<HHI", group, number, len(value)) + value


def dataset(sop_class: str, sop_instance: str, *, patient: str = "P1", tail: bytes = b"") -> bytes:
    """A small implicit VR dataset that has an identity."""
    return b"".join(
        (
            element(0x0008, 0x0016, _even(sop_class.encode())),
            element(0x0008, 0x0018, _even(sop_instance.encode())),
            element(0x0008, 0x0060, b"CT"),
            element(0x0010, 0x0020, _even(patient.encode(), b" ")),
            element(0x0020, 0x000D, b"1.2.3.1\0"),
            element(0x0020, 0x000E, b"1.2.3.2\0"),
            tail,
        )
    )


def read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    """The next PDU's type and body; (0, b"") when the connection has ended."""
    header = _read(sock, 6)
    if len(header) < 6:
        return 0, b""
    kind, length = struct.unpack(">BxI", header)
    return kind, _read(sock, length)


def status_of(body: bytes) -> int:
    """The status in a P-DATA body that holds a whole response command."""
    at = 6
    while at + 8 <= len(body):
        group, number, length = struct.unpack_from("<HHI", body, at)
        if (group, number) == (0x0000, 0x0900):
            return int(struct.unpack_from("<H", body, at + 8)[0])
        at += 8 + length
    raise AssertionError("the response has no status")


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            part = sock.recv(count - len(data))
        except ConnectionError:
            break
        if not part:
            break
        data += part
    return data


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _even(value: bytes, pad: bytes = b"\0") -> bytes:
    return value + pad * (len(value) % 2)
