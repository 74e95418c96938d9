"""The stored frames of an instance, one at a time: a long cine never lies in memory twice."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from node.decode.attributes import value_of
from node.decode.codec import Frame, decoder_for
from node.decode.layout import PixelLayout
from node.errors import BadObjectError

_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where PixelData lies in an open instance.

    Attributes
    ----------
    stream
        Positioned anywhere.
    offset, length
        Of the value; ``length`` is None for encapsulated pixel data.
    vr
        ``OB``, ``OW`` or ``UN``.
    """

    stream: BinaryIO
    offset: int
    length: int | None
    vr: str


def find_pixels(stream: BinaryIO, big_endian: bool) -> PixelElement | None:
    """Read the element header at the stream's position.

    Parameters
    ----------
    stream
        Where reading the header with ``stop_before_pixels`` ended.
    big_endian
        Byte order of the data set.

    Returns
    -------
    None when there is no PixelData.
    """
    order = ">" if big_endian else "<"
    head = stream.read(8)
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != _PIXEL_DATA:
        return None
    vr = head[4:6]
    if vr in _LONG_VRS:
        (length,) = struct.unpack(order + "I", stream.read(4))
    else:  # implicit VR: PixelData is OW (PS3.5 A.1)
        vr, (length,) = b"OW", struct.unpack(order + "I", head[4:])
    limit = None if length == _UNDEFINED else length
    return PixelElement(stream, stream.tell(), limit, vr.decode("ascii"))


def stored_frames(ds: Dataset, element: PixelElement, layout: PixelLayout) -> Iterator[Frame]:
    """Yield every frame as it is stored: decompressed, bits aligned, colour not yet converted.

    Raises
    ------
    BadObjectError
        There are not as many frames as announced, or a frame does not match the header.
    """
    frames = _native(element, layout) if layout.is_native else _compressed(ds, element, layout)
    for frame in frames:
        shape: tuple[int, ...] = (layout.rows, layout.columns)
        if layout.samples > 1:
            shape = (*shape, layout.samples)
        if frame.samples.shape != shape:
            raise BadObjectError("a decoded frame does not have the shape of the header")
        if frame.samples.dtype.itemsize * 8 > layout.bits_allocated:
            raise BadObjectError("a decoded frame has more bits than the header allocates")
        yield Frame(_aligned(frame.samples, layout), frame.is_rgb)


def _compressed(ds: Dataset, element: PixelElement, layout: PixelLayout) -> Iterator[Frame]:
    if element.length is not None:
        raise BadObjectError("compressed pixel data is not encapsulated")
    decode = decoder_for(layout)
    element.stream.seek(element.offset)
    offsets = value_of(ds, "ExtendedOffsetTable")
    lengths = value_of(ds, "ExtendedOffsetTableLengths")
    extended = (offsets, lengths) if offsets and lengths else None
    found = generate_frames(
        element.stream, number_of_frames=layout.frames, extended_offsets=extended
    )
    count = 0
    for encoded in islice(found, layout.frames):
        yield decode(encoded, layout)
        count += 1
    if count != layout.frames:
        raise BadObjectError(f"{layout.frames} frames announced, {count} found")
    if next(found, b""):
        raise BadObjectError(f"{layout.frames} frames announced, more found")


def _native(element: PixelElement, layout: PixelLayout) -> Iterator[Frame]:
    size = layout.native_frame_bytes
    if element.length is None:
        raise BadObjectError("uncompressed pixel data has no length")
    if element.length < size * layout.frames:
        raise BadObjectError(
            f"PixelData holds {element.length} bytes, "
            f"{layout.frames} frames need {size * layout.frames}"
        )
    if element.length >= size * (layout.frames + 1):
        raise BadObjectError(f"{layout.frames} frames announced, PixelData holds more")
    element.stream.seek(element.offset)
    swapped = layout.is_big_endian and layout.bits_allocated == 8 and element.vr == "OW"
    for number in range(layout.frames):
        if swapped:
            # 8-bit samples in big-endian words: each pair of bytes is exchanged (PS3.5 8.1.1).
            block = _swapped_block(element, number * size, size)
        else:
            block = element.stream.read(size)
        if len(block) != size:
            raise BadObjectError("PixelData is cut off")
        yield Frame(_shaped(block, layout))


def _swapped_block(element: PixelElement, start: int, size: int) -> bytes:
    even = start - start % 2
    element.stream.seek(element.offset + even)
    words = np.frombuffer(element.stream.read((start + size - even + 1) // 2 * 2), ">u2")
    return words.astype("<u2").tobytes()[start - even : start - even + size]


def _shaped(block: bytes, layout: PixelLayout) -> npt.NDArray[Any]:
    if layout.bits_allocated == 8:
        samples: npt.NDArray[Any] = np.frombuffer(block, np.uint8)
    else:
        order = ">" if layout.is_big_endian else "<"
        samples = np.frombuffer(block, order + "u2").astype(np.uint16)
    if layout.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        return _from_422(samples, layout)
    if layout.samples == 1:
        return samples.reshape(layout.rows, layout.columns)
    if layout.planar:
        planes = samples.reshape(layout.samples, layout.rows, layout.columns)
        return np.moveaxis(planes, 0, -1)
    return samples.reshape(layout.rows, layout.columns, layout.samples)


def _from_422(samples: npt.NDArray[Any], layout: PixelLayout) -> npt.NDArray[Any]:
    # Y1 Y2 Cb Cr for every two pixels of a row (PS3.3 C.7.6.3.1.2).
    quads = samples.reshape(layout.rows, layout.columns // 2, 4)
    frame = np.empty((layout.rows, layout.columns, 3), np.uint8)
    frame[:, 0::2, 0], frame[:, 1::2, 0] = quads[..., 0], quads[..., 1]
    for channel in (1, 2):
        frame[..., channel] = np.repeat(quads[..., channel + 1], 2, axis=1)
    return frame


def _aligned(samples: npt.NDArray[Any], layout: PixelLayout) -> npt.NDArray[Any]:
    """Cut the stored bits out of the allocated ones, and extend their sign."""
    bits = layout.bits_allocated
    unsigned = np.uint8 if bits == 8 else np.uint16
    if samples.dtype.itemsize * 8 < bits:  # e.g. 8-bit codestreams in 16 allocated bits
        samples = samples.astype(np.int16 if samples.dtype.kind == "i" else np.uint16)
    samples = samples.view(unsigned)
    if layout.bits_stored == bits and not layout.signed:
        return samples
    # Shift left to drop what lies above the stored bits (old overlays), then back.
    samples = samples << (bits - 1 - layout.high_bit)
    if layout.signed:
        samples = samples.view(np.int8 if bits == 8 else np.int16)
    return samples >> (bits - layout.bits_stored)
