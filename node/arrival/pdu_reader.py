"""Takes packets out of a stream of bytes: PS3.8 section 9.3, once an association is established.

The bytes are received where they stay until they are on disk: a fragment of an instance is a view
of the receive buffer. However the stream is cut, or whatever it holds, memory is bounded by the
negotiated length, and nothing but :class:`~node.arrival.violation.PduError` is raised.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from node.arrival.violation import AbortReason, PduError

P_DATA_TF, RELEASE_RQ, ABORT = 0x04, 0x05, 0x07

_HEADER = struct.Struct(">BxI")
#: PS3.8 table 9-23: length of the item, context ID, message control header.
_VALUE = struct.Struct(">IBB")
_KNOWN_PDUS = range(0x01, 0x08)
_DUE_PDUS = (P_DATA_TF, RELEASE_RQ, ABORT)
#: A release or an abort has 4 bytes; nothing longer is due any more.
_MOST_OTHER_BYTES = 4096
_SMALL_BUFFER_BYTES = 16 << 10
#: Beside the longest packet there is room for so much of the next.
_AHEAD_BYTES = 64 << 10


class Pdu(NamedTuple):
    """A packet; its body is a view that :meth:`PduReader.room` makes invalid."""

    kind: int
    body: memoryview


class Fragment(NamedTuple):
    """A presentation data value (PS3.8 section 9.3.5.1, Annex E.2); ``data`` is a view, too."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class PduReader:
    """Holds what was received and not yet used.

    Parameters
    ----------
    max_pdu_bytes
        As negotiated: PS3.8 Annex D.1, the variable field of a P-DATA-TF.
    """

    def __init__(self, max_pdu_bytes: int) -> None:
        # The 6 bytes are for senders that count the header, too.
        self._most_data_bytes = max_pdu_bytes + _HEADER.size
        self._buffer = bytearray(_SMALL_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self._usual_bytes = len(self._buffer)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything that was not used."""
        return self._end > self._begin

    def room(self) -> memoryview:
        """Where to receive; at least one byte. Packets from before are no longer valid.

        Amid a packet there is room for its rest only, and after a long one for another such: what
        is received beyond a packet has to be moved to the front.
        """
        left = self._end - self._begin
        if self._begin and left:
            self._view[:left] = self._view[self._begin : self._end]
        self._begin, self._end = 0, left
        if left >= _HEADER.size:
            return self._view[left : _HEADER.size + _HEADER.unpack_from(self._buffer)[1]]
        return self._view[left : self._usual_bytes]

    def add(self, count: int) -> None:
        """Tell that bytes were received into :meth:`room`."""
        self._end += count

    def next(self) -> Pdu | None:
        """Take the next packet; None when it is not whole yet.

        Raises
        ------
        PduError
            Its type or length is not allowed; before the rest of it is waited for.
        """
        received = self._end - self._begin
        if received < _HEADER.size:
            return None
        kind, length = _HEADER.unpack_from(self._buffer, self._begin)
        self._check(kind, length)
        whole = _HEADER.size + length
        if received < whole:
            if whole > len(self._buffer):
                self._grow()
            return None
        body = self._view[self._begin + _HEADER.size : self._begin + whole]
        self._begin += whole
        self._usual_bytes = whole if 2 * whole > len(self._buffer) else len(self._buffer)
        return Pdu(kind, body)

    def _check(self, kind: int, length: int) -> None:
        if kind not in _KNOWN_PDUS:
            raise PduError("a packet has no known type", "type", AbortReason.UNRECOGNISED_PDU)
        if kind not in _DUE_PDUS:
            raise PduError("a packet is not due", "unexpected", AbortReason.UNEXPECTED_PDU)
        if length > (self._most_data_bytes if kind == P_DATA_TF else _MOST_OTHER_BYTES):
            raise PduError("a packet is longer than was negotiated", "length")

    def _grow(self) -> None:
        grown = bytearray(_HEADER.size + self._most_data_bytes + _AHEAD_BYTES)
        left = self._end - self._begin
        grown[:left] = self._view[self._begin : self._end]
        self._buffer, self._view = grown, memoryview(grown)
        self._begin, self._end = 0, left
        self._usual_bytes = len(grown)


def fragments(body: memoryview) -> list[Fragment]:
    """Take the body of a P-DATA-TF apart.

    Raises
    ------
    PduError
        The lengths in it don't fit.
    """
    found = []
    at, end = 0, len(body)
    while at < end:
        if end - at < _VALUE.size:
            raise PduError("a fragment has no header", "fragment")
        length, context_id, control = _VALUE.unpack_from(body, at)
        value_end = at + 4 + length
        if length < 2 or value_end > end:
            raise PduError("the length of a fragment does not fit", "fragment")
        data = body[at + _VALUE.size : value_end]
        # PS3.8 Annex E.2: only the two lowest bits are to be looked at.
        found.append(Fragment(context_id, bool(control & 1), bool(control & 2), data))
        at = value_end
    if not found:
        raise PduError("a packet has no fragments", "fragment")
    return found


def data_pdus(context_id: int, command_set: bytes, most_bytes: int) -> bytes:
    """Pack a whole command set into P-DATA-TF, one unless the peer takes only short ones.

    Parameters
    ----------
    most_bytes
        What the peer takes (PS3.8 Annex D.1); 0 when that is not limited.
    """
    step = max(1, most_bytes - _VALUE.size) if most_bytes else len(command_set)
    packed = []
    for at in range(0, len(command_set), step):
        data = command_set[at : at + step]
        control = 0x03 if at + step >= len(command_set) else 0x01
        packed.append(_HEADER.pack(P_DATA_TF, _VALUE.size + len(data)))
        packed.append(_VALUE.pack(len(data) + 2, context_id, control))
        packed.append(data)
    return b"".join(packed)
