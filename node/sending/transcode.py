"""Brings an object of ours into a transfer syntax that its destination accepts."""

from __future__ import annotations

import struct
from typing import Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

CaptureSyntax = Literal["jpeg", "rle", "explicit_le"]

_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_RLE_HEADER = struct.Struct("<16I")


def syntaxes_for(stored: UID, preferred: CaptureSyntax) -> tuple[UID, ...]:
    """List the transfer syntaxes that an object can be sent in, the best first.

    Parameters
    ----------
    stored
        What its bytes are in. Nothing is compressed with loss a second time.
    preferred
        The destination's wish for captures; an uncompressed object without pixels ignores it.
    """
    if stored in _PLAIN:
        return _PLAIN
    if stored == JPEGBaseline8Bit:
        return {
            "jpeg": (stored, RLELossless, *_PLAIN),
            "rle": (RLELossless, *_PLAIN, stored),
            "explicit_le": (*_PLAIN, RLELossless, stored),
        }[preferred]
    if stored == RLELossless and preferred == "explicit_le":
        return (*_PLAIN, stored)
    return (stored, *_PLAIN)


def transcode(ds: Dataset, target: UID) -> None:
    """Re-encode the pixels of an object of ours in place; the instance keeps its identity.

    Parameters
    ----------
    ds
        8-bit pixels, RGB or JPEG baseline; an object without pixels only changes its encoding.
    target
        Explicit or implicit VR little endian, or RLE.

    Raises
    ------
    ValueError
        The pixels can't be decoded, or `target` is not one of the three.
    """
    stored = ds.file_meta.TransferSyntaxUID
    if target == stored:
        return
    if target not in (*_PLAIN, RLELossless):
        raise ValueError(f"objects can't be transcoded to {target.name}")
    if "PixelData" in ds and (stored.is_compressed or target == RLELossless):
        count = int(ds.get("NumberOfFrames", 1) or 1)
        frames = [frame_rgb(ds, index) for index in range(count)]
        _set_pixels(ds, frames, target)
    ds.file_meta.TransferSyntaxUID = target


def frame_rgb(ds: Dataset, index: int) -> npt.NDArray[np.uint8]:
    """Decode one frame for display.

    Parameters
    ----------
    index
        From 0.

    Returns
    -------
    uint8 ``(rows, columns, 3)``; a grey frame has three equal samples.

    Raises
    ------
    ValueError
        The pixels can't be decoded.
    """
    if ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        count = int(ds.get("NumberOfFrames", 1) or 1)
        encoded = get_frame(ds.PixelData, index, number_of_frames=count)
        return np.asarray(simplejpeg.decode_jpeg(encoded, "RGB"), dtype=np.uint8)
    frame = pixel_array(ds, index=index)
    if frame.dtype != np.uint8:
        raise ValueError(f"captures have 8 bits per sample, not {frame.dtype}")
    return np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame


def _set_pixels(ds: Dataset, frames: list[npt.NDArray[np.uint8]], target: UID) -> None:
    # LossyImageCompression and its ratios stay: they tell the history of the pixels.
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "RGB"
    ds.PlanarConfiguration = 0
    if target == RLELossless:
        ds.PixelData = encapsulate([_rle_frame(frame) for frame in frames])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        return
    plain = np.stack(frames).tobytes()
    ds.PixelData = plain + b"\x00" * (len(plain) % 2)
    # OB: 8-bit samples (PS3.5 A.2); implicit VR has no choice but OW, which pydicom knows.
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = False


def _rle_frame(frame: npt.NDArray[np.uint8]) -> bytes:
    """Encode one frame: a header, then a segment per colour plane, row by row (PS3.5 G)."""
    segments = []
    for plane in np.moveaxis(frame, 2, 0):
        segment = b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        segments.append(segment + b"\x00" * (len(segment) % 2))
    offsets = [_RLE_HEADER.size]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    unused = [0] * (15 - len(offsets))
    return _RLE_HEADER.pack(len(segments), *offsets, *unused) + b"".join(segments)
