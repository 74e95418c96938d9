"""Damages bytes, at random but the same for the same seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

_LENGTHS = (
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0xFF,
    0xFFFE,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFF0,
    0xFFFFFFFE,
    0xFFFFFFFF,
)
_TOKENS = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\xe0\x7f\x10\0", b"\x28\0\x10\0", b"SQ\0\0\xff\xff\xff\xff", b"UN", b"OB", b"UI", b"??",
    b"\x1b$B", b"../../", b"\0" * 8, b"\xff" * 8,
)  # fmt: skip


def mutate(
    data: bytes, rng: random.Random, *, first: int = 0, last: int = 0, others: Sequence[bytes] = ()
) -> bytes:
    """Change a few places.

    Parameters
    ----------
    first, last
        The places lie between these; 0 as the last means the end.
    others
        Whole inputs, of which pieces may be put in.
    """
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 8, 40))):
        end = min(last or len(changed), len(changed))
        if end <= first:
            break
        at = rng.randrange(first, end)
        _strike(changed, at, end, rng, others)
    return bytes(changed)


def _strike(
    changed: bytearray, at: int, end: int, rng: random.Random, others: Sequence[bytes]
) -> None:
    kind = rng.randrange(8)
    size = min(rng.choice((1, 2, 4, 8, 30, 200)), end - at)
    if kind <= 1:
        changed[at] = rng.randrange(256)
    elif kind == 2:
        changed[at] ^= 1 << rng.randrange(8)
    elif kind == 3:
        form = rng.choice(("<H", ">H", "<I", ">I"))
        number = rng.choice(_LENGTHS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
        packed = struct.pack(form, number)
        changed[at : at + len(packed)] = packed
    elif kind == 4:
        del changed[at : at + size]
    elif kind == 5:
        changed[at:at] = changed[at : at + size]
    elif kind == 6 and others:
        other = rng.choice(others)
        start = rng.randrange(max(len(other) - size, 1))
        changed[at : at + size] = other[start : start + size]
    else:
        token = rng.choice(_TOKENS)
        changed[at : at + len(token)] = token
