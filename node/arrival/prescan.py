"""Reads an instance's header from hostile bytes: a bounded walk that ends at the pixels.

It checks that the header is well formed (PS3.5 section 7) and within limits before any library
parses it: lengths against what is there, nesting, number of elements. Values are not interpreted
beyond the few that the node needs, and character sets not at all.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from node.arrival.header import IDENTITY, WANTED, Header, header_from
from node.errors import BadObjectError, CardionodeError

Buffer = bytes | bytearray | mmap.mmap

_IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
_EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: The dataset itself is compressed in these; a small one may inflate to anything.
DEFLATED = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)

# PS3.5 section 7.1.2: these have a 32-bit length in explicit VR, the others a 16-bit one.
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV"} | {
    b"UC", b"UN", b"UR", b"UT", b"UV"
})  # fmt: skip
_SHORT_VRS = frozenset({b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD"} | {
    b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"
})  # fmt: skip

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE0
_FIRST_DATASET_GROUP = 0x0008
_MAX_VALUE_BYTES = 1025
#: Of an element in explicit VR, and the tag that its value may begin with.
_LONGEST_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How much header the node is willing to read.

    Attributes
    ----------
    max_depth
        Sequences within sequences.
    max_elements
        Elements, at all depths together; some 1 µs each.
    max_items
        Sequence items, at all depths together.
    max_pixel_bytes
        Decoded pixels; more is noted, not refused.
    """

    max_depth: int = 32
    max_elements: int = 300_000
    max_items: int = 65_536
    max_pixel_bytes: int = 2048 << 20


class UnreadableHeaderError(BadObjectError):
    """The header is damaged or beyond the limits.

    Attributes
    ----------
    partial
        What was read before the walk ended.
    """

    def __init__(self, message: str, partial: Header) -> None:
        super().__init__(message)
        self.partial = partial


class HeaderGoesOnError(CardionodeError):
    """The header is longer than the beginning that was given."""


class _LimitError(BadObjectError):
    """A limit was passed: final, also where the walk only tried."""


class _Encoding(NamedTuple):
    implicit: bool
    big_endian: bool


def prescan(
    source: Path | Buffer,
    transfer_syntax_uid: str,
    limits: ScanLimits | None = None,
    dataset_at: int = 0,
    dataset_bytes: int | None = None,
) -> Header:
    """Walk a dataset's header.

    Parameters
    ----------
    source
        A file, or bytes.
    transfer_syntax_uid
        How the dataset is encoded.
    dataset_at
        Where the dataset begins in the source, in bytes.
    dataset_bytes
        How long the dataset is, when the source holds only its beginning.

    Raises
    ------
    UnreadableHeaderError
        The header is damaged or beyond the limits; it tells what could be read.
    HeaderGoesOnError
        The source ends before the header, and the dataset does not.
    """
    limits = limits if limits is not None else ScanLimits()
    if not isinstance(source, Path):
        return _scan(source, transfer_syntax_uid, limits, dataset_at, dataset_bytes)
    if source.stat().st_size == 0:  # An empty file can't be mapped.
        return _scan(b"", transfer_syntax_uid, limits, 0)
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        return _scan(mapped, transfer_syntax_uid, limits, dataset_at)


def _scan(
    data: Buffer,
    transfer_syntax_uid: str,
    limits: ScanLimits,
    dataset_at: int,
    dataset_bytes: int | None = None,
) -> Header:
    encoding = _Encoding(
        implicit=transfer_syntax_uid == _IMPLICIT_LITTLE_ENDIAN,
        big_endian=transfer_syntax_uid == _EXPLICIT_BIG_ENDIAN,
    )
    end = len(data) if dataset_bytes is None else dataset_at + dataset_bytes
    walk = _Walk(data, encoding, limits, end)
    defect = ""
    try:
        if transfer_syntax_uid in DEFLATED:
            raise BadObjectError("its dataset is deflated")
        walk.dataset(dataset_at)
    except BadObjectError as error:
        defect = str(error)
    header = header_from(
        walk.values,
        big_endian=encoding.big_endian,
        problems=walk.problems,
        max_pixel_bytes=limits.max_pixel_bytes,
    )
    if defect:
        raise UnreadableHeaderError(defect, header)
    return header


class _Walk:
    """One pass over one dataset. Every step moves forward, so its time is linear in elements."""

    def __init__(self, data: Buffer, encoding: _Encoding, limits: ScanLimits, end: int) -> None:
        self.values: dict[int, bytes] = {}
        self.problems: list[str] = []
        self._data = data
        self._end = end
        #: No header of an element or item may begin behind this: its bytes are not here.
        self._last_at = len(data) - _LONGEST_HEADER_BYTES if end > len(data) else end
        self._encoding = encoding
        self._limits = limits
        self._elements = 0
        self._items = 0
        order = ">" if encoding.big_endian else "<"
        self._tag = struct.Struct(f"{order}HH")
        self._length = struct.Struct(f"{order}I")
        self._short_header = struct.Struct(f"{order}HH2sH")
        self._item_bytes = self._tag.pack(_ITEM >> 16, _ITEM & 0xFFFF)

    def dataset(self, at: int) -> None:
        """Walk the outermost level up to the pixels, and keep the wanted values."""
        end = self._end
        previous = -1
        while at < end:
            tag, vr, value_at, length = self._element(at, end, self._encoding.implicit)
            group = tag >> 16
            if group < _FIRST_DATASET_GROUP:
                # A library would take a transfer syntax from here instead of from the file's head.
                raise BadObjectError("command or file meta elements are in its dataset")
            if tag <= previous:
                self._note("its elements are out of order")
            previous = tag
            if group == _PIXEL_GROUP:
                if length != _UNDEFINED and length > end - value_at:
                    raise BadObjectError("its pixels are cut off")
                return
            at = self._skip(tag, vr, value_at, length, end, self._encoding.implicit, depth=0)
            if tag in WANTED and length != _UNDEFINED:
                if tag in self.values and tag in IDENTITY:
                    raise BadObjectError("an element of its identity is there twice")
                value_end = value_at + min(length, _MAX_VALUE_BYTES)
                if value_end > len(self._data):
                    raise HeaderGoesOnError
                self.values[tag] = bytes(self._data[value_at:value_end])

    def _element(self, at: int, end: int, implicit: bool) -> tuple[int, bytes, int, int]:
        """Read a tag, its VR (empty when implicit), where its value is, and its length."""
        if end - at < 8:
            raise BadObjectError("an element is cut off")
        if at > self._last_at:
            raise HeaderGoesOnError
        self._elements += 1
        if self._elements > self._limits.max_elements:
            raise _LimitError(f"it has more than {self._limits.max_elements} elements")
        group, element, vr, short_length = self._short_header.unpack_from(self._data, at)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return tag, b"", at + 8, self._length.unpack_from(self._data, at + 4)[0]
        if vr in _SHORT_VRS:
            return tag, vr, at + 8, short_length
        if vr not in _LONG_VRS:
            raise BadObjectError("a value representation is unknown, or its encoding is another")
        if end - at < 12:
            raise BadObjectError("an element is cut off")
        return tag, vr, at + 12, self._length.unpack_from(self._data, at + 8)[0]

    def _skip(
        self, tag: int, vr: bytes, at: int, length: int, end: int, implicit: bool, depth: int
    ) -> int:
        """Check the value that begins here; return where the next element begins."""
        if tag >> 16 == 0xFFFE:
            raise BadObjectError("an item is outside of a sequence")
        if length == _UNDEFINED:
            if tag == _PIXEL_DATA:
                return self._fragments(at, end)
            if vr not in (b"SQ", b"UN", b""):
                raise BadObjectError("a length is undefined that must be defined")
            # PS3.5 section 6.2.2 note 2: an unknown VR of undefined length is implicit inside.
            inner = implicit or vr == b"UN"
            return self._sequence(at, end, inner, depth + 1, delimited=True)
        value_end = at + length
        if value_end > end:
            raise BadObjectError("an element is longer than what is left of it")
        if vr == b"SQ":
            self._sequence(at, value_end, implicit, depth + 1, delimited=False)
        elif vr in (b"", b"UN") and self._data[at : at + 4] == self._item_bytes:
            self._try_sequence(at, value_end, depth + 1)
        return value_end

    def _try_sequence(self, at: int, end: int, depth: int) -> None:
        """Walk what a library would find to be a sequence, or bytes that only begin like one."""
        try:
            self._sequence(at, end, True, depth, delimited=False)
        except _LimitError:
            raise
        except BadObjectError:
            self._note("a value begins like a sequence and is none")

    def _sequence(self, at: int, end: int, implicit: bool, depth: int, *, delimited: bool) -> int:
        """Walk items up to the end or, when delimited, the sequence's delimiter."""
        if depth > self._limits.max_depth:
            raise _LimitError(f"its sequences are nested deeper than {self._limits.max_depth}")
        while delimited or at < end:
            tag, length = self._item(at, end)
            at += 8
            if tag == _SEQUENCE_END and delimited:
                return at
            if tag != _ITEM:
                raise BadObjectError("a sequence has something between its items")
            if length == _UNDEFINED:
                at = self._item_elements(at, end, implicit, depth, delimited=True)
            elif length > end - at:
                raise BadObjectError("an item is longer than what is left of its sequence")
            else:
                at = self._item_elements(at, at + length, implicit, depth, delimited=False)
        return at

    def _item_elements(
        self, at: int, end: int, implicit: bool, depth: int, *, delimited: bool
    ) -> int:
        while delimited or at < end:
            if not implicit:
                at = self._past_short(at, end)
                if at == end and not delimited:
                    break
            tag, vr, value_at, length = self._element(at, end, implicit)
            if tag == _ITEM_END and delimited:
                return value_at
            at = self._skip(tag, vr, value_at, length, end, implicit, depth)
        return at

    def _past_short(self, at: int, end: int) -> int:
        """Pass the elements in explicit VR that need no look inside, at once; most are such.

        Whatever is odd is left to the one-by-one way, which knows its name.
        """
        unpack, data, last_at = self._short_header.unpack_from, self._data, self._last_at
        count = 0
        while at <= last_at and end - at >= 8:
            group, _, vr, length = unpack(data, at)
            if vr not in _SHORT_VRS or group == 0xFFFE or at + 8 + length > end:
                break
            at += 8 + length
            count += 1
        self._elements += count
        if self._elements > self._limits.max_elements:
            raise _LimitError(f"it has more than {self._limits.max_elements} elements")
        return at

    def _fragments(self, at: int, end: int) -> int:
        """Skip encapsulated pixels inside a sequence, as icons have them (PS3.5 Annex A.4)."""
        while True:
            tag, length = self._item(at, end)
            at += 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM or length > end - at:
                raise BadObjectError("the fragments of an icon are damaged")
            at += length

    def _item(self, at: int, end: int) -> tuple[int, int]:
        if end - at < 8:
            raise BadObjectError("an item is cut off")
        if at > self._last_at:
            raise HeaderGoesOnError
        self._items += 1
        if self._items > self._limits.max_items:
            raise _LimitError(f"it has more than {self._limits.max_items} items")
        group, element = self._tag.unpack_from(self._data, at)
        return group << 16 | element, self._length.unpack_from(self._data, at + 4)[0]

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
