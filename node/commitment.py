"""Storage commitment as both sides of an association see it (PS3.4 Annex J): names and answers.

An answer comes from the network, so that it is read here by a bounded walk of its own.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from node.errors import BadObjectError

#: Storage Commitment Push Model SOP Class, and its well-known instance (PS3.4 section J.3.5).
PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT_VR = "1.2.840.10008.1.2"
EXPLICIT_VR = "1.2.840.10008.1.2.1"

#: Objects in one request.
MOST_REFERENCES = 500
#: How long an answer may be: so many references have less than 100 kB.
MAX_ANSWER_BYTES = 512 << 10
#: Items of undefined length are passed more than once, and count each time.
_MAX_ITEMS = 20_000
_MAX_DEPTH = 16
_MAX_UID_BYTES = 64

_SOP_INSTANCE = 0x00081155
_TRANSACTION = 0x00081195
_FAILURE_REASON = 0x00081197
_FAILED_SEQUENCE = 0x00081198
_REFERENCED_SEQUENCE = 0x00081199
_DELIMITERS = 0xFFFE
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
#: PS3.5 section 7.1.2: the others have a 16-bit length.
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)

_UNKNOWN_REASON = 0x0110
_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class-instance conflict",
    0x0122: "referenced SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}
#: Sending the same object again would end the same.
_PERMANENT_REASONS = frozenset({0x0119, 0x0122})


class EventType(IntEnum):
    """What an N-EVENT-REPORT tells (PS3.4 table J.3-2)."""

    ALL_COMMITTED = 1  #: The peer keeps every instance.
    FAILURES_EXIST = 2  #: It does not keep some of them.


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """What a destination says of one request.

    Attributes
    ----------
    committed
        SOP Instance UIDs that it keeps.
    failed
        Failure Reason (PS3.3 section C.14) by SOP Instance UID.
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int]


class MissingTransactionError(BadObjectError):
    """The answer does not say to which request it belongs."""


def random_uid() -> str:
    """A UID that nobody can guess (PS3.5 Annex B.2): to know it proves an answer."""
    return f"2.25.{uuid.uuid4().int}"


def reason_words(code: int) -> str:
    """A Failure Reason in words (PS3.3 section C.14.1.1)."""
    return f"0x{code:04X}: {_REASONS.get(code, 'a reason that the standard does not know')}"


def is_permanent_reason(code: int) -> bool:
    """Whether the same object would fail for the same reason again."""
    return code in _PERMANENT_REASONS


def read_answer(data: bytes, *, implicit: bool) -> CommitmentAnswer:
    """Read the event information of an N-EVENT-REPORT (PS3.4 table J.3-2).

    Parameters
    ----------
    data
        In little endian.
    implicit
        Whether its VRs are implicit.

    Raises
    ------
    MissingTransactionError
        It has no Transaction UID.
    BadObjectError
        It is damaged, or beyond the limits.
    """
    if len(data) > MAX_ANSWER_BYTES:
        raise BadObjectError("the answer is too long")
    walk = _Walk(data)
    transaction_uid, committed, failed = "", set[str](), dict[str, int]()
    for value in walk.elements(0, len(data), implicit, 0):
        if value.tag == _TRANSACTION:
            transaction_uid = _uid(data[value.at : value.end])
        elif value.tag in (_REFERENCED_SEQUENCE, _FAILED_SEQUENCE):
            for at, end in walk.items(value):
                uid, reason = _reference(walk, at, end, value.implicit)
                if value.tag == _FAILED_SEQUENCE:
                    failed[uid] = reason
                else:
                    committed.add(uid)
    if not transaction_uid:
        raise MissingTransactionError("the answer has no transaction UID")
    return CommitmentAnswer(transaction_uid, frozenset(committed - failed.keys()), failed)


def _reference(walk: _Walk, at: int, end: int, implicit: bool) -> tuple[str, int]:
    uid, reason = "", _UNKNOWN_REASON
    for value in walk.elements(at, end, implicit, 1):
        content = walk.data[value.at : value.end]
        if value.tag == _SOP_INSTANCE:
            uid = _uid(content)
        elif value.tag == _FAILURE_REASON and len(content) == 2:
            reason = int.from_bytes(content, "little")
    if not uid:
        raise BadObjectError("a reference has no SOP Instance UID")
    return uid, reason


def _uid(value: bytes) -> str:
    text = value.rstrip(b"\0 ")
    if not text or len(text) > _MAX_UID_BYTES or not set(text) <= set(b"0123456789."):
        raise BadObjectError("a UID is none")
    return text.decode("ascii")


class _Value(NamedTuple):
    """Where an element's value is, and whether VRs inside of it are implicit."""

    tag: int
    at: int
    end: int
    implicit: bool


class _Walk:
    """Steps over elements and items; each step moves forward and ends within its parent."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._items = 0

    def elements(self, at: int, end: int, implicit: bool, depth: int) -> Iterator[_Value]:
        """Each element's value, without delimiters."""
        while at < end:
            tag, value_at, length, vr = self._head(at, end, implicit)
            if tag >> 16 == _DELIMITERS:
                raise BadObjectError("an item is outside of a sequence")
            # PS3.5 section 6.2.2 note 2: a sequence of unknown VR is implicit inside.
            inner = implicit or vr == b"UN"
            if length == _UNDEFINED:
                value_end = self._sequence_end(value_at, end, inner, depth + 1)
                at = value_end + 8
            else:
                at = value_end = value_at + length
                if value_end > end:
                    raise BadObjectError("an element is longer than what is left")
            yield _Value(tag, value_at, value_end, inner)

    def items(self, sequence: _Value) -> Iterator[tuple[int, int]]:
        """Where the items of a sequence begin and end, without delimiters."""
        at = sequence.at
        while at < sequence.end:
            at, item_at, item_end = self._item(at, sequence.end, sequence.implicit, 1)
            yield item_at, item_end

    def _item(self, at: int, end: int, implicit: bool, depth: int) -> tuple[int, int, int]:
        """Where the next begins, and this one's elements begin and end."""
        self._items += 1
        if self._items > _MAX_ITEMS:
            raise BadObjectError("the answer has too many items")
        tag, value_at, length, _ = self._head(at, end, implicit)
        if tag != _ITEM:
            raise BadObjectError("a sequence has something between its items")
        if length != _UNDEFINED:
            if length > end - value_at:
                raise BadObjectError("an item is longer than its sequence")
            return value_at + length, value_at, value_at + length
        inside = value_at
        while True:
            tag, element_at, element_length, vr = self._head(inside, end, implicit)
            if tag == _ITEM_END:
                return element_at, value_at, inside
            if tag >> 16 == _DELIMITERS:
                raise BadObjectError("an item is outside of a sequence")
            if element_length == _UNDEFINED:
                inner = implicit or vr == b"UN"
                inside = self._sequence_end(element_at, end, inner, depth + 1) + 8
            else:
                inside = element_at + element_length

    def _sequence_end(self, at: int, end: int, implicit: bool, depth: int) -> int:
        """Where the delimiter of a sequence of undefined length is."""
        if depth > _MAX_DEPTH:
            raise BadObjectError(f"sequences are nested deeper than {_MAX_DEPTH}")
        while True:
            tag, _, _, _ = self._head(at, end, implicit)
            if tag == _SEQUENCE_END:
                return at
            at, _, _ = self._item(at, end, implicit, depth)

    def _head(self, at: int, end: int, implicit: bool) -> tuple[int, int, int, bytes]:
        """A tag, where its value begins, its length, and its VR where it has one."""
        if end - at < 8:
            raise BadObjectError("an element is cut off")
        group, element, length = struct.unpack_from("<HHI", self.data, at)
        tag = group << 16 | element
        if implicit or group == _DELIMITERS:
            return tag, at + 8, length, b""
        vr = self.data[at + 4 : at + 6]
        if vr not in _LONG_VRS:
            return tag, at + 8, struct.unpack_from("<H", self.data, at + 6)[0], vr
        if end - at < 12:
            raise BadObjectError("an element is cut off")
        return tag, at + 12, struct.unpack_from("<I", self.data, at + 8)[0], vr
