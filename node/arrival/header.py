"""What the node knows of an instance before any library has parsed it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from node.arrival.moment import MOMENT, acquisition_moment
from node.arrival.uid import is_uid

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
MODALITY = 0x00080060
PATIENT_ID = 0x00100020
ISSUER_OF_PATIENT_ID = 0x00100021
PATIENT_BIRTH_DATE = 0x00100030
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
SAMPLES_PER_PIXEL = 0x00280002
NUMBER_OF_FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100

#: These say whose instance it is; an instance that has one twice could be two things at once.
IDENTITY = frozenset(
    {SOP_CLASS_UID, SOP_INSTANCE_UID, PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID}
)
WANTED = IDENTITY | {
    MODALITY,
    ISSUER_OF_PATIENT_ID,
    PATIENT_BIRTH_DATE,
    SAMPLES_PER_PIXEL,
    NUMBER_OF_FRAMES,
    ROWS,
    COLUMNS,
    BITS_ALLOCATED,
    *MOMENT,
}

_NAMES = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
    PATIENT_ID: "Patient ID",
    SAMPLES_PER_PIXEL: "Samples per Pixel",
    NUMBER_OF_FRAMES: "Number of Frames",
    ROWS: "Rows",
    COLUMNS: "Columns",
    BITS_ALLOCATED: "Bits Allocated",
}
_MAX_ID_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Header:
    """An instance's identity and size, as claimed.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid
        Each is a well-formed UID, or empty when it is missing or anything else.
    patient_id, issuer
        As they came, without padding: their character set is not known here.
    acquired_at
        When it was acquired, by the site's wall clock in seconds since 1970; None when no date of
        it is valid.
    rows, columns, frames, bits_allocated, samples
        None when missing or not a number of the right kind.
    pixel_bytes
        Size of the decoded pixels that these declare, 0 when they declare none.
    problems
        What is odd about the header, without values; for people.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    patient_id: bytes
    issuer: bytes
    birth_date: str
    acquired_at: float | None
    rows: int | None
    columns: int | None
    frames: int | None
    bits_allocated: int | None
    samples: int | None
    pixel_bytes: int
    problems: tuple[str, ...]


class _Values:
    """Reads the wanted values and notes what is wrong with them."""

    def __init__(self, raw: Mapping[int, bytes], big_endian: bool, problems: list[str]) -> None:
        self._raw = raw
        self._short = struct.Struct(">H" if big_endian else "<H")
        self.problems = problems

    def text(self, tag: int) -> str:
        return self._raw.get(tag, b"").strip(b" \0").decode("ascii", "replace")

    def uid(self, tag: int) -> str:
        text = self.text(tag)
        if text and not is_uid(text):
            self.problems.append(f"{_NAMES[tag]} is not a UID")
            return ""
        return text

    def identifier(self, tag: int) -> bytes:
        value = self._raw.get(tag, b"")
        if len(value) > _MAX_ID_BYTES:
            self.problems.append(f"{_NAMES.get(tag, 'an identifier')} is too long")
            return b""
        return value.strip(b" \0")

    def number(self, tag: int) -> int | None:
        value = self._raw.get(tag)
        if value is None:
            return None
        if len(value) != self._short.size:
            self.problems.append(f"{_NAMES[tag]} is not a 16-bit number")
            return None
        (number,) = self._short.unpack(value)
        return int(number)

    def digits(self, tag: int) -> int | None:
        text = self.text(tag)
        if not text:
            return None
        if not (len(text) <= 12 and text.isascii() and text.removeprefix("+").isdigit()):
            self.problems.append(f"{_NAMES[tag]} is not a whole number")
            return None
        return int(text)


def header_from(
    raw: Mapping[int, bytes], *, big_endian: bool, problems: list[str], max_pixel_bytes: int
) -> Header:
    """Make a header of the raw values of the :data:`WANTED` elements.

    Parameters
    ----------
    raw
        Values by tag, ``group << 16 | element``.
    problems
        What is known to be odd already.
    max_pixel_bytes
        More decoded pixels than these are noted as a problem.
    """
    values = _Values(raw, big_endian, list(problems))
    rows, columns = values.number(ROWS), values.number(COLUMNS)
    bits, samples = values.number(BITS_ALLOCATED), values.number(SAMPLES_PER_PIXEL)
    frames = values.digits(NUMBER_OF_FRAMES)
    pixel_bytes = 0
    if rows and columns:
        frame_bits = rows * columns * (bits or 8) * (samples or 1)
        pixel_bytes = (frame_bits + 7) // 8 * (1 if frames is None else frames)
    if pixel_bytes > max_pixel_bytes:
        values.problems.append(f"it declares more than {max_pixel_bytes} bytes of pixels")
    return Header(
        sop_class_uid=values.uid(SOP_CLASS_UID),
        sop_instance_uid=values.uid(SOP_INSTANCE_UID),
        study_instance_uid=values.uid(STUDY_INSTANCE_UID),
        series_instance_uid=values.uid(SERIES_INSTANCE_UID),
        modality=values.text(MODALITY)[:16],
        patient_id=values.identifier(PATIENT_ID),
        issuer=values.identifier(ISSUER_OF_PATIENT_ID),
        birth_date=values.text(PATIENT_BIRTH_DATE)[:64],
        acquired_at=acquisition_moment({tag: values.text(tag) for tag in MOMENT}),
        rows=rows,
        columns=columns,
        frames=frames,
        bits_allocated=bits,
        samples=samples,
        pixel_bytes=pixel_bytes,
        problems=tuple(values.problems),
    )
