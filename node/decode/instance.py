"""The facts of an instance, read from its header before any pixel is decoded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian

from node.decode.attributes import (
    code_string,
    code_strings,
    integer,
    items,
    numbers,
    text,
)
from node.decode.pixels import PixelElement, find_pixels
from node.decode.regions import read_regions, spacing_of
from node.decode.timing import frame_times, heart_rate_bpm, r_wave_times_ms
from node.errors import BadObjectError
from node.facts import DEFLATED, InstanceFacts

_ALWAYS_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# ImageType value 4 of ultrasound objects, hexadecimal (PS3.3 C.8.5.6.1.1).
_M_MODE_BITS, _SPECTRAL_BITS, _COLOUR_BITS, _VOLUME_BITS = 0x0022, 0x000C, 0x0130, 0x0040
# PS3.3 tables A.36 to A.59, A.70 to A.73: CT, MR, XA, XRF, ultrasound volume, 3D X-ray, PET.
_FUNCTIONAL_GROUPS = re.compile(
    r"1\.2\.840\.10008\.5\.1\.4\.1\.1\."
    r"(2\.[12]|4\.[134]|6\.2|12\.1\.1|12\.2\.1|13\.1\.[1-5]|128\.1|130)"
)
_VIEW_CODES = {  # PS3.16 CID 12226, SNOMED CT
    "399139001": "PLAX",
    "399306005": "PSAX",
    "399239005": "PSAX",
    "399036006": "PSAX",
    "399271003": "PSAX",
    "399214001": "A4C",
    "399232001": "A2C",
    "399339008": "A3C",
}
_VIEW_WORDS = (
    (r"\b(A4C|AP4|4CH|apical[ _-]?(4|four))", "A4C"),
    (r"\b(A2C|AP2|2CH|apical[ _-]?(2|two))", "A2C"),
    (r"\b(A3C|AP3|3CH|ALAX|apical[ _-]?(3|three|long))", "A3C"),
    (r"\b(PLAX|PSLA|parasternal[ _-]?long)", "PLAX"),
    (r"\b(PSAX|SAX|parasternal[ _-]?short)", "PSAX"),
)


def read_header(stream: BinaryIO, path: Path) -> tuple[Dataset, str, PixelElement | None]:
    """Read everything before the pixels.

    Parameters
    ----------
    stream
        The opened instance.
    path
        The same instance, for the file meta information.

    Returns
    -------
    The header, the transfer syntax, and where the pixels are. The header of a deflated instance
    is empty but for the SOP class: inflating could take any amount of memory.

    Raises
    ------
    BadObjectError
        There is no transfer syntax.
    """
    meta = read_file_meta_info(str(path))
    transfer_syntax_uid = text(meta, "TransferSyntaxUID")
    if not transfer_syntax_uid:
        raise BadObjectError("the file meta information names no transfer syntax")
    if transfer_syntax_uid in DEFLATED:
        ds = Dataset()
        ds.SOPClassUID = meta.get("MediaStorageSOPClassUID", "")
        return ds, transfer_syntax_uid, None
    ds = dcmread(stream, stop_before_pixels=True)
    element = find_pixels(stream, transfer_syntax_uid == ExplicitVRBigEndian)
    return ds, transfer_syntax_uid, element


def read_facts(
    ds: Dataset, transfer_syntax_uid: str, element: PixelElement | None
) -> tuple[InstanceFacts, tuple[str, ...]]:
    """Read the facts of an instance.

    Parameters
    ----------
    ds, transfer_syntax_uid, element
        From :func:`read_header`.

    Returns
    -------
    The facts, and what was unusual, for people.

    Raises
    ------
    BadObjectError
        There is no SOP class, or not what its class can't be without.
    """
    sop_class_uid = text(ds, "SOPClassUID")
    if not re.fullmatch(r"[0-9.]{1,64}", sop_class_uid):
        raise BadObjectError("the SOP class is missing or not a UID")
    if _FUNCTIONAL_GROUPS.fullmatch(sop_class_uid) and not (
        items(ds, "SharedFunctionalGroupsSequence") or items(ds, "PerFrameFunctionalGroupsSequence")
    ):
        raise BadObjectError("a multi-frame object of its class has functional groups, it has none")
    name = UID(sop_class_uid).name
    facts = InstanceFacts(
        sop_class_uid=sop_class_uid,
        sop_class_name="private SOP class" if name == sop_class_uid else name,
        transfer_syntax_uid=transfer_syntax_uid,
        modality=code_string(ds, "Modality"),
        has_waveforms=bool(items(ds, "WaveformSequence")),
        manufacturer=" ".join(text(ds, k) for k in ("Manufacturer", "ManufacturerModelName")),
        series_number=integer(ds, "SeriesNumber"),
        image_type=code_strings(ds, "ImageType"),
    )
    if element is None or element.length == 0:
        return facts, ()
    return _image_facts(facts, ds)


def _image_facts(facts: InstanceFacts, ds: Dataset) -> tuple[InstanceFacts, tuple[str, ...]]:
    ratios = numbers(ds, "LossyImageCompressionRatio")
    facts = replace(
        facts,
        has_pixels=True,
        frames=max(integer(ds, "NumberOfFrames") or 1, 1),
        rows=max(integer(ds, "Rows") or 0, 0),
        columns=max(integer(ds, "Columns") or 0, 0),
        samples=integer(ds, "SamplesPerPixel") or 1,
        photometric_interpretation=code_string(ds, "PhotometricInterpretation"),
        body_part=code_string(ds, "BodyPartExamined"),
        view_position=code_string(ds, "ViewPosition"),
        presentation_intent=code_string(ds, "PresentationIntentType"),
        lossy=code_string(ds, "LossyImageCompression") == "01"
        or bool(ratios)
        or facts.transfer_syntax_uid in _ALWAYS_LOSSY,
        lossy_ratio=ratios,
        lossy_method=code_strings(ds, "LossyImageCompressionMethod"),
        view_hint=_view_hint(ds),
    )
    if facts.is_ultrasound:
        return _ultrasound_facts(facts, ds)
    if facts.is_radiograph:
        spacing, note = radiograph_spacing(ds)
        return replace(facts, pixel_spacing_mm=spacing), ((note,) if note else ())
    return facts, ()


def _ultrasound_facts(facts: InstanceFacts, ds: Dataset) -> tuple[InstanceFacts, tuple[str, ...]]:
    regions = read_regions(ds, facts.rows, facts.columns)
    spacing, note = spacing_of(regions)
    notes = [note] if note else []
    flags = _image_type_flags(facts.image_type)
    times, source = frame_times(ds, facts.frames) if facts.frames > 1 else (None, "")
    if times is not None and source == "RecommendedDisplayFrameRate":
        notes.append("frame times are taken from RecommendedDisplayFrameRate")
    facts = replace(
        facts,
        regions=regions,
        pixel_spacing_mm=spacing,
        exam=facts.image_type[2] if len(facts.image_type) > 2 else "",
        colour_doppler=bool(flags & _COLOUR_BITS) or any(r.is_colour for r in regions),
        m_mode=bool(flags & _M_MODE_BITS) or any(r.is_m_mode for r in regions),
        spectral=bool(flags & _SPECTRAL_BITS) or any(r.is_spectral for r in regions),
        volume=bool(flags & _VOLUME_BITS),
        frame_times_known=times is not None,
        r_wave_times_ms=r_wave_times_ms(ds),
        heart_rate_bpm=heart_rate_bpm(ds),
    )
    return facts, tuple(notes)


def radiograph_spacing(ds: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return the pixel spacing of a radiograph, and a note for people.

    PixelSpacing, when it was calibrated, is in the plane of the patient; ImagerPixelSpacing is at
    the detector (PS3.3 10.7.1.3), where the heart is larger.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(ds, keyword)
        if len(spacing) == 2 and all(0.01 <= value <= 10.0 for value in spacing):
            note = "pixel spacing at the detector" if keyword == "ImagerPixelSpacing" else ""
            return (spacing[0], spacing[1]), note
    return None, "no pixel spacing"


def _image_type_flags(image_type: tuple[str, ...]) -> int:
    if len(image_type) < 4 or not re.fullmatch(r"[0-9A-F]{4}", image_type[3]):
        return 0
    return int(image_type[3], 16)


def _view_hint(ds: Dataset) -> str:
    for item in items(ds, "ViewCodeSequence"):
        view = _VIEW_CODES.get(text(item, "CodeValue"))
        if view:
            return view
    for keyword in ("ViewName", "StageName", "SeriesDescription", "ProtocolName"):
        words = text(ds, keyword)
        for pattern, view in _VIEW_WORDS:
            if re.search(pattern, words, re.IGNORECASE):
                return view
    return ""
