"""Reads the command set of a request (PS3.7 section 6.3.1), and writes the one answer that is hot.

A command set is always implicit VR little endian and has a handful of elements, so that a bounded
walk of it is short, and can't fail in more ways than one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from node.arrival.uid import is_uid
from node.arrival.violation import MessageError

_ELEMENT = struct.Struct("<HHI")
_NUMBER = struct.Struct("<H")
_NO_DATASET = 0x0101
_RESPONSE = 0x8000

# PS3.7 Annex E.1; all are of group 0000.
_AFFECTED_SOP_CLASS = 0x0002
_REQUESTED_SOP_CLASS = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_MESSAGE_ID = 0x0120
_DATASET_TYPE = 0x0800
_STATUS = 0x0900
_AFFECTED_SOP_INSTANCE = 0x1000
_REQUESTED_SOP_INSTANCE = 0x1001
_EVENT_TYPE = 0x1002
_ACTION_TYPE = 0x1008


class CommandField(IntEnum):
    """The requests that something is done about (PS3.7 table E.1-1)."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130


@dataclass(frozen=True, slots=True)
class Command:
    """What a request says of itself; texts as they came, without padding.

    Attributes
    ----------
    field
        One of :class:`CommandField`, or any other number.
    sop_class_uid, sop_instance_uid
        Affected or requested, as the request has it.
    type_id
        Of the event or action; 0 when there is none.
    """

    context_id: int
    field: int
    message_id: int
    has_dataset: bool
    sop_class_uid: str
    sop_instance_uid: str
    type_id: int


def read_command(context_id: int, data: bytes | bytearray) -> Command:
    """Read a whole command set.

    Raises
    ------
    MessageError
        It is damaged, or lacks what every request has.
    """
    values = _elements(data)
    field = _number(values, _COMMAND_FIELD)
    dataset_type = _number(values, _DATASET_TYPE)
    if field is None or dataset_type is None:
        raise MessageError("a command does not say what it is", "command")
    message_id = _number(values, _MESSAGE_ID)
    if message_id is None:
        if field != CommandField.C_CANCEL:
            raise MessageError("a request has no number", "command")
        message_id = 0
    return Command(
        context_id=context_id,
        field=field,
        message_id=message_id,
        has_dataset=dataset_type != _NO_DATASET,
        sop_class_uid=_uid(values, _AFFECTED_SOP_CLASS, _REQUESTED_SOP_CLASS),
        sop_instance_uid=_uid(values, _AFFECTED_SOP_INSTANCE, _REQUESTED_SOP_INSTANCE),
        type_id=_number(values, _EVENT_TYPE) or _number(values, _ACTION_TYPE) or 0,
    )


def store_response(command: Command, sop_class_uid: str, status: int) -> bytes:
    """Write the command set of a C-STORE-RSP (PS3.7 table 9.3-2).

    Parameters
    ----------
    sop_class_uid
        That of the presentation context, whatever the request named.
    """
    elements = [
        _text(_AFFECTED_SOP_CLASS, sop_class_uid),
        _short(_COMMAND_FIELD, _RESPONSE | CommandField.C_STORE),
        _short(_RESPONDED_MESSAGE_ID, command.message_id),
        _short(_DATASET_TYPE, _NO_DATASET),
        _short(_STATUS, status),
    ]
    if is_uid(command.sop_instance_uid):  # What is none can't be repeated, and need not be.
        elements.append(_text(_AFFECTED_SOP_INSTANCE, command.sop_instance_uid))
    body = b"".join(elements)
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _elements(data: bytes | bytearray) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < _ELEMENT.size:
            raise MessageError("a command is cut off", "command")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if group != 0x0000 or length > end - at:
            raise MessageError("a command is damaged", "command")
        if element in values:
            raise MessageError("an element of a command is there twice", "command")
        values[element] = bytes(data[at : at + length])
        at += length
    return values


def _number(values: dict[int, bytes], element: int) -> int | None:
    value = values.get(element)
    if value is None:
        return None
    if len(value) != _NUMBER.size:
        raise MessageError("a number of a command has another length", "command")
    (number,) = _NUMBER.unpack(value)
    return int(number)


def _uid(values: dict[int, bytes], *elements: int) -> str:
    for element in elements:
        if element in values:
            return values[element].strip(b" \0").decode("ascii", "replace")
    return ""


def _short(element: int, number: int) -> bytes:
    return _ELEMENT.pack(0, element, _NUMBER.size) + _NUMBER.pack(number)


def _text(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value
