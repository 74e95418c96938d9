"""What the header of a compressed frame says, read without decoding it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from node.errors import BadObjectError

# Start-of-frame markers of ITU-T T.81 table B.1 and T.87; C4, C8 and CC are something else.
_START_OF_FRAME = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_J2K_START = b"\xff\x4f\xff\x51"


@dataclass(frozen=True, slots=True)
class Codestream:
    """The shape and colour of one compressed frame.

    Attributes
    ----------
    rows, columns, samples, precision
        As the codestream says; ``precision`` in bits.
    colour
        What the codestream itself says of its three components: RGB, YBR or nothing.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    colour: Literal["RGB", "YBR", ""] = ""


def read_jpeg(frame: bytes) -> Codestream:
    """Read the frame header of JPEG, lossless JPEG or JPEG-LS (ITU-T T.81 B.2.2, T.87 C.2.2).

    Raises
    ------
    BadObjectError
        There is none, or it is cut off.
    """
    if frame[:2] != b"\xff\xd8":
        raise BadObjectError("a frame is not a JPEG codestream")
    position, colour = 2, ""
    try:
        while True:
            while frame[position] == 0xFF and frame[position + 1] == 0xFF:  # fill bytes
                position += 1
            prefix, marker = frame[position], frame[position + 1]
            if prefix != 0xFF or marker in (0xD9, 0xDA):
                raise BadObjectError("a JPEG codestream has no frame header")
            if marker in _STANDALONE:
                position += 2
                continue
            (length,) = struct.unpack_from(">H", frame, position + 2)
            segment = frame[position + 4 : position + 2 + length]
            if marker in _START_OF_FRAME:
                return _frame_header(segment, colour)
            colour = colour or _application_colour(marker, segment)
            position += 2 + max(length, 2)
    except (IndexError, struct.error):
        raise BadObjectError("a JPEG codestream is cut off in its header") from None


def read_jpeg2000(frame: bytes) -> Codestream:
    """Read the SIZ and COD segments of JPEG 2000 (ISO 15444-1 A.5.1 and A.6.1).

    Raises
    ------
    BadObjectError
        They are missing or cut off.
    """
    start = frame.find(_J2K_START, 0, 4096)  # after the boxes of a JP2 file that should not be here
    if start < 0:
        raise BadObjectError("a frame is not a JPEG 2000 codestream")
    try:
        x1, y1, x0, y0 = struct.unpack_from(">4I", frame, start + 8)
        (samples,) = struct.unpack_from(">H", frame, start + 40)
        precision = max(frame[start + 42 + 3 * n] & 0x7F for n in range(min(samples, 4))) + 1
        position, colour = start + 2, ""
        while frame[position] == 0xFF and frame[position + 1] != 0x90:  # up to the first tile
            (length,) = struct.unpack_from(">H", frame, position + 2)
            if frame[position + 1] == 0x52:
                colour = "RGB" if frame[position + 8] else ""
            position += 2 + max(length, 2)
    except (IndexError, ValueError, struct.error):
        raise BadObjectError("a JPEG 2000 codestream is cut off in its header") from None
    # With a component transform the decoder gives RGB back, whatever the header calls it.
    return Codestream(y1 - y0, x1 - x0, samples, precision, "RGB" if colour else "")


def check_rle(frame: bytes, segments: int) -> None:
    """Check the header of an RLE frame (PS3.5 G.5).

    Raises
    ------
    BadObjectError
        The segments are not as many as the pixels need, or lie outside the frame.
    """
    if len(frame) < 64:
        raise BadObjectError("an RLE frame is shorter than its header")
    count, *offsets = struct.unpack_from("<16I", frame)
    if count != segments:
        raise BadObjectError("an RLE frame does not have one segment per byte of a pixel")
    used = offsets[:count]
    if used[0] != 64 or used != sorted(set(used)) or used[-1] >= len(frame):
        raise BadObjectError("the offsets of an RLE frame lie outside of it")


def _frame_header(segment: bytes, colour: str) -> Codestream:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", segment)
    identifiers = segment[6 : 6 + 3 * samples : 3]
    if not colour and identifiers == b"RGB":
        colour = "RGB"
    known: Literal["RGB", "YBR", ""] = (
        "RGB" if colour == "RGB" else "YBR" if colour == "YBR" else ""
    )
    return Codestream(rows, columns, samples, precision, known)


def _application_colour(marker: int, segment: bytes) -> str:
    if marker == 0xE0 and segment.startswith(b"JFIF\0"):
        return "YBR"
    if marker == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12:
        return "RGB" if segment[11] == 0 else "YBR"
    return ""
