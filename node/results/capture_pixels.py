"""Encodes the frames of a capture: JPEG baseline, RLE or as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from node.errors import InvalidResultError

Frame = npt.NDArray[np.uint8]
TransferSyntax = Literal["jpeg", "rle", "explicit_le"]

_JPEG_QUALITY = 90
_RLE_HEADER_ENTRIES = 16


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """All frames of a capture as PixelData holds them.

    Attributes
    ----------
    pixel_data
        Encapsulated for JPEG and RLE.
    ratio
        Size before over size after a lossy compression, None when nothing was lost.
    """

    pixel_data: bytes
    transfer_syntax_uid: str
    photometric_interpretation: str
    frames: int
    rows: int
    columns: int
    ratio: float | None


def encode_frames(frames: Iterable[Frame], transfer_syntax: TransferSyntax) -> EncodedFrames:
    """Encode frames one by one.

    Parameters
    ----------
    frames
        uint8 RGB, each ``(rows, columns, 3)``, all of one size.
    transfer_syntax
        ``jpeg`` (JPEG baseline, YBR_FULL_422, quality 90), ``rle`` (lossless) or ``explicit_le``.

    Raises
    ------
    InvalidResultError
        Without frames, or when they differ in size.
    """
    encode: Callable[[Frame], bytes] = {"jpeg": _jpeg, "rle": _rle, "explicit_le": _raw}[
        transfer_syntax
    ]
    encoded: list[bytes] = []
    shape: tuple[int, ...] | None = None
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InvalidResultError("PixelData: frames must be 8-bit RGB")
        if shape not in (None, frame.shape):
            raise InvalidResultError("PixelData: frames differ in size")
        shape = frame.shape
        encoded.append(encode(np.ascontiguousarray(frame)))
    if shape is None:
        raise InvalidResultError("PixelData: a capture needs a frame")
    rows, columns = shape[:2]
    compressed = sum(map(len, encoded))
    if transfer_syntax == "explicit_le":
        joined = b"".join(encoded)
        pixel_data, uid, photometric = (
            joined + b"\x00" * (len(joined) % 2),
            ExplicitVRLittleEndian,
            "RGB",
        )
    else:
        pixel_data = encapsulate(encoded, has_bot=True)
        uid, photometric = (
            (JPEGBaseline8Bit, "YBR_FULL_422")
            if transfer_syntax == "jpeg"
            else (RLELossless, "RGB")
        )
    ratio = len(encoded) * rows * columns * 3 / compressed if transfer_syntax == "jpeg" else None
    return EncodedFrames(pixel_data, uid, photometric, len(encoded), rows, columns, ratio)


def _jpeg(frame: Frame) -> bytes:
    return bytes(
        simplejpeg.encode_jpeg(
            frame, quality=_JPEG_QUALITY, colorspace="RGB", colorsubsampling="422"
        )
    )


def _rle(frame: Frame) -> bytes:
    """One segment per colour plane, each row on its own (PS3.5 Annex G)."""
    segments = []
    for plane in range(3):
        rows = np.ascontiguousarray(frame[:, :, plane])
        segment = b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in rows)
        segments.append(segment + b"\x00" * (len(segment) % 2))
    header = np.zeros(_RLE_HEADER_ENTRIES, dtype="<u4")
    header[0] = len(segments)
    lengths = [len(segment) for segment in segments]
    header[1:4] = header.nbytes + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return header.tobytes() + b"".join(segments)


def _raw(frame: Frame) -> bytes:
    return frame.tobytes()
