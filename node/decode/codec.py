"""One compressed frame to its samples: simplejpeg for baseline, imagecodecs for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import simplejpeg

from node.decode.codestream import Codestream, check_rle, read_jpeg, read_jpeg2000
from node.decode.layout import PixelLayout
from node.errors import BadObjectError

Samples = npt.NDArray[Any]
_ROOT = "1.2.840.10008.1.2."


@dataclass(frozen=True, slots=True)
class Frame:
    """The samples of one frame.

    Attributes
    ----------
    samples
        ``(rows, columns)`` or ``(rows, columns, 3)``, in the integer type they are stored in.
    is_rgb
        The three samples are RGB already, whatever PhotometricInterpretation says.
    """

    samples: Samples
    is_rgb: bool = False


def decoder_for(layout: PixelLayout) -> Callable[[bytes, PixelLayout], Frame]:
    """Return the function that decodes one encapsulated frame.

    Raises
    ------
    BadObjectError
        The transfer syntax is not decoded.
    """
    decoder = _DECODERS.get(layout.transfer_syntax_uid)
    if decoder is None:
        raise BadObjectError("the transfer syntax is not decoded")
    return decoder


def _jpeg(frame: bytes, layout: PixelLayout) -> Frame:
    header = _checked(read_jpeg(frame), layout)
    if header.precision != 8:
        return Frame(imagecodecs.jpeg8_decode(frame))
    if layout.samples == 1:
        return Frame(_baseline(frame, "GRAY").reshape(layout.rows, layout.columns))
    if layout.photometric == "RGB" and not header.colour:
        # The codestream is silent and libjpeg would take its components for YCbCr.
        raw = imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
        return Frame(raw, is_rgb=True)
    return Frame(_baseline(frame, "RGB"), is_rgb=True)


def _baseline(frame: bytes, colorspace: str) -> Samples:
    try:
        return np.asarray(simplejpeg.decode_jpeg(frame, colorspace=colorspace))
    except ValueError as exc:
        # A cut-off frame must not pass as a half grey one, but some machines write bytes too
        # many before a marker, which loses nothing.
        if "extraneous bytes before marker" not in str(exc):
            raise
        return np.asarray(simplejpeg.decode_jpeg(frame, colorspace=colorspace, strict=False))


def _jpeg_lossless(frame: bytes, layout: PixelLayout) -> Frame:
    _checked(read_jpeg(frame), layout)
    return Frame(imagecodecs.jpegsof3_decode(frame))


def _jpeg_ls(frame: bytes, layout: PixelLayout) -> Frame:
    _checked(read_jpeg(frame), layout)
    return Frame(imagecodecs.jpegls_decode(frame))


def _jpeg_2000(frame: bytes, layout: PixelLayout) -> Frame:
    header = _checked(read_jpeg2000(frame), layout)
    samples = imagecodecs.jpeg2k_decode(frame, numthreads=1)
    named_rgb = layout.photometric in ("RGB", "YBR_RCT", "YBR_ICT")
    return Frame(samples, is_rgb=named_rgb or header.colour == "RGB")


def _rle(frame: bytes, layout: PixelLayout) -> Frame:
    check_rle(frame, layout.samples * layout.bits_allocated // 8)
    dtype = np.dtype(np.uint8 if layout.bits_allocated == 8 else "<u2")
    flat = imagecodecs.dicomrle_decode(frame, dtype)
    # RLE is always planar, whatever PlanarConfiguration says (PS3.5 G.2).
    planes = np.frombuffer(flat, dtype).reshape(layout.samples, layout.rows, layout.columns)
    return Frame(planes[0] if layout.samples == 1 else np.moveaxis(planes, 0, -1))


def _checked(header: Codestream, layout: PixelLayout) -> Codestream:
    if (header.rows, header.columns) != (layout.rows, layout.columns):
        raise BadObjectError(
            f"a frame is {header.rows} x {header.columns} in its codestream, "
            f"but {layout.rows} x {layout.columns} in the header"
        )
    if header.samples != layout.samples:
        raise BadObjectError("a frame has another number of samples than the header says")
    if header.precision > layout.bits_allocated:
        raise BadObjectError(
            f"a frame has {header.precision} bits, the header allocates {layout.bits_allocated}"
        )
    return header


_DECODERS: dict[str, Callable[[bytes, PixelLayout], Frame]] = {
    _ROOT + "4.50": _jpeg,
    _ROOT + "4.51": _jpeg,
    _ROOT + "4.57": _jpeg_lossless,
    _ROOT + "4.70": _jpeg_lossless,
    _ROOT + "4.80": _jpeg_ls,
    _ROOT + "4.81": _jpeg_ls,
    _ROOT + "4.90": _jpeg_2000,
    _ROOT + "4.91": _jpeg_2000,
    _ROOT + "4.201": _jpeg_2000,
    _ROOT + "4.202": _jpeg_2000,
    _ROOT + "4.203": _jpeg_2000,
    _ROOT + "5": _rle,
}
