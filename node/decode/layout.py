"""How the pixels of an instance are stored, checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from node.decode.attributes import code_string, integer
from node.errors import BadObjectError

_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset(
    {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT"}
)  # fmt: skip
_MAX_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """The image pixel module (PS3.3 C.7.6.3), validated.

    Attributes
    ----------
    rows, columns, frames, samples
        Shape of the stored pixels.
    bits_allocated, bits_stored, high_bit, signed
        8 or 16 bits allocated.
    photometric, planar
        PhotometricInterpretation, and PlanarConfiguration 0 or 1.
    transfer_syntax_uid
        How the frames are encoded.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int
    transfer_syntax_uid: str

    @property
    def is_native(self) -> bool:
        """Frames are stored as they are, not encapsulated."""
        return self.transfer_syntax_uid in _NATIVE

    @property
    def is_big_endian(self) -> bool:
        """Stored in the retired big-endian transfer syntax."""
        return self.transfer_syntax_uid == ExplicitVRBigEndian

    @property
    def pixels_per_frame(self) -> int:
        """Rows by columns."""
        return self.rows * self.columns

    @property
    def native_frame_bytes(self) -> int:
        """Size of one frame in a native transfer syntax (PS3.5 section 8.1.1)."""
        if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
            return self.pixels_per_frame * 2
        return self.pixels_per_frame * self.samples * self.bits_allocated // 8


def read_layout(ds: Dataset, transfer_syntax_uid: str, max_decoded_bytes: int) -> PixelLayout:
    """Read and check the image pixel module.

    Parameters
    ----------
    ds
        The header.
    transfer_syntax_uid
        From the file meta information.
    max_decoded_bytes
        What the decoded frames may take, before anything is decoded.

    Raises
    ------
    BadObjectError
        An attribute is missing or contradicts another, or the image is too large.
    """
    photometric = code_string(ds, "PhotometricInterpretation")
    samples = _whole(ds, "SamplesPerPixel", 1, 4)
    layout = PixelLayout(
        rows=_whole(ds, "Rows", 1, 65535),
        columns=_whole(ds, "Columns", 1, 65535),
        frames=_whole(ds, "NumberOfFrames", 1, _MAX_FRAMES, default=1),
        samples=samples,
        bits_allocated=_whole(ds, "BitsAllocated", 1, 64),
        bits_stored=_whole(ds, "BitsStored", 1, 64),
        high_bit=_whole(ds, "HighBit", 0, 63),
        signed=_whole(ds, "PixelRepresentation", 0, 1, default=0) == 1,
        photometric=photometric,
        planar=_whole(ds, "PlanarConfiguration", 0, 1, default=0),
        transfer_syntax_uid=transfer_syntax_uid,
    )
    _check_bits(layout)
    _check_samples(layout)
    # The typed inputs take at most 4 bytes per pixel: grey and RGB, or one float32.
    if layout.pixels_per_frame * layout.frames * 4 > max_decoded_bytes:
        raise BadObjectError(
            f"the decoded image would be larger than {max_decoded_bytes >> 20} MB: "
            f"{layout.frames} frames of {layout.rows} x {layout.columns}"
        )
    return layout


def _whole(ds: Dataset, keyword: str, low: int, high: int, default: int | None = None) -> int:
    value = integer(ds, keyword)
    if value is None:
        if default is not None and keyword not in ds:
            return default
        raise BadObjectError(f"{keyword} is missing or not a whole number")
    if not low <= value <= high:
        raise BadObjectError(f"{keyword} is not between {low} and {high}")
    return value


def _check_bits(layout: PixelLayout) -> None:
    if layout.bits_allocated not in (8, 16):
        raise BadObjectError(f"{layout.bits_allocated} bits allocated: only 8 and 16 are decoded")
    if layout.bits_stored > layout.bits_allocated:
        raise BadObjectError("BitsStored is larger than BitsAllocated")
    if not layout.bits_stored - 1 <= layout.high_bit < layout.bits_allocated:
        raise BadObjectError("HighBit contradicts BitsStored and BitsAllocated")


def _check_samples(layout: PixelLayout) -> None:
    if layout.photometric in _MONOCHROME or layout.photometric == "PALETTE COLOR":
        wanted = 1
    elif layout.photometric in _COLOUR:
        wanted = 3
    else:
        raise BadObjectError("the photometric interpretation is missing or not decoded")
    if layout.samples != wanted:
        raise BadObjectError("SamplesPerPixel contradicts PhotometricInterpretation")
    if layout.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        if layout.bits_allocated != 8:
            raise BadObjectError("4:2:2 chrominance needs 8 bits allocated")
        if layout.is_native and layout.columns % 2:
            raise BadObjectError("4:2:2 chrominance needs an even number of columns")
