"""Checks our own results before they are sent: the attributes that their SOP classes require.

Fast and without other programs; the full validators run in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from node.errors import InvalidResultError

# Type 1: there and filled; Type 2: there. PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.2, C.12.1
_SHARED_TYPE_1 = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "InstanceNumber",
    "ContentDate",
    "ContentTime",
    # not required by the standard, but no result of ours goes without
    "ContentQualification",
    "SeriesDescription",
    "ContributingEquipmentSequence",
)
_SHARED_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
# PS3.3 C.17.1, C.17.2, C.17.3
_REPORT_TYPE_1 = (
    "CompletionFlag",
    "VerificationFlag",
    "CurrentRequestedProcedureEvidenceSequence",
    "ValueType",
    "ConceptNameCodeSequence",
    "ContinuityOfContent",
    "ContentTemplateSequence",
    "ContentSequence",
)
_REPORT_TYPE_2 = ("ReferencedPerformedProcedureStepSequence", "PerformedProcedureCodeSequence")
# PS3.3 C.7.6.3, C.7.6.6, C.8.6.1, C.8.6.3, C.12.2
_CAPTURE_TYPE_1 = (
    "ConversionType",
    "ImageType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "DerivationDescription",
    "DerivationCodeSequence",
    "ReferencedSeriesSequence",
    "PixelData",
)
_CAPTURE_TYPE_2 = ("PatientOrientation",)
# PS3.3 C.17.3.2: what a content item of each value type must hold
_CONTENT_VALUES = {
    "CONTAINER": "ContinuityOfContent",
    "TEXT": "TextValue",
    "CODE": "ConceptCodeSequence",
    "NUM": "MeasuredValueSequence",
    "UIDREF": "UID",
    "WAVEFORM": "ReferencedSOPSequence",
    "IMAGE": "ReferencedSOPSequence",
    "SCOORD": "GraphicData",
}
_LONGEST = {"LO": 64, "SH": 16, "CS": 16, "DS": 16, "IS": 12, "ST": 1024}  # PS3.5 section 6.2
_MEASUREMENT_GROUP = "125007"


def validate_result(ds: Dataset) -> None:
    """Check a report or a capture of this node.

    Parameters
    ----------
    ds
        With file meta information.

    Raises
    ------
    InvalidResultError
        With the keyword of the first attribute that is wrong, and how; no values are quoted.
    """
    checks: dict[str, Callable[[Dataset], None]] = {
        Comprehensive3DSRStorage: _check_report,
        ComprehensiveSRStorage: _check_report,
        MultiFrameTrueColorSecondaryCaptureImageStorage: _check_capture,
    }
    check = checks.get(str(ds.get("SOPClassUID", "")))
    if check is None:
        raise InvalidResultError("SOPClassUID: not one that this node writes")
    _require(ds, _SHARED_TYPE_1, _SHARED_TYPE_2)
    _check_values(ds)
    check(ds)
    meta = getattr(ds, "file_meta", Dataset())
    if meta.get("MediaStorageSOPInstanceUID") != ds.SOPInstanceUID:
        raise InvalidResultError("MediaStorageSOPInstanceUID: differs from SOPInstanceUID")
    if not meta.get("TransferSyntaxUID"):
        raise InvalidResultError("TransferSyntaxUID: missing")


def _require(ds: Dataset, type_1: tuple[str, ...], type_2: tuple[str, ...] = ()) -> None:
    for keyword in (*type_1, *type_2):
        if keyword not in ds:
            raise InvalidResultError(f"{keyword}: missing")
    for keyword in type_1:
        if ds[keyword].is_empty:
            raise InvalidResultError(f"{keyword}: empty")


def _check_values(ds: Dataset) -> None:
    """Lengths, UIDs and codes, at every depth."""
    for element in ds.iterall():
        values = element.value if element.VM > 1 else [element.value]
        if element.VR == "UI":
            if any(value and not UID(value).is_valid for value in values):
                raise InvalidResultError(f"{element.keyword}: not a valid UID")
        elif element.VR in _LONGEST:
            longest = _LONGEST[element.VR]
            # the numbers of DS and IS keep their text
            if any(value is not None and len(str(value)) > longest for value in values):
                raise InvalidResultError(f"{element.keyword}: longer than {longest} characters")
        elif element.VR == "SQ" and element.keyword.endswith("CodeSequence"):
            for item in element.value:
                _require(item, ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))


def _check_report(ds: Dataset) -> None:
    _require(ds, _REPORT_TYPE_1, _REPORT_TYPE_2)
    evidence = _evidence_uids(ds)
    for item in _content_items(ds):
        _require(item, ("ValueType", "RelationshipType"))
        value = _CONTENT_VALUES.get(item.ValueType)
        if value is None:
            raise InvalidResultError("ValueType: not one that this node writes")
        _require(item, (value,))
        if item.ValueType not in ("IMAGE", "WAVEFORM"):
            _require(item, ("ConceptNameCodeSequence",))
        elif item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID not in evidence:
            raise InvalidResultError("ReferencedSOPInstanceUID: not listed as evidence")
        if item.ValueType == "CONTAINER" and _is_group(item):
            _check_group(item)


def _is_group(item: Dataset) -> bool:
    return bool(item.ConceptNameCodeSequence[0].CodeValue == _MEASUREMENT_GROUP)


def _check_group(group: Dataset) -> None:
    """Without exactly one region per number viewers draw nothing, or fail."""
    _require(group, ("ContentSequence",))
    numbers = [item for item in group.ContentSequence if item.get("ValueType") == "NUM"]
    if len(numbers) != 1:
        raise InvalidResultError("ContentSequence: a measurement group needs exactly one number")
    children = numbers[0].get("ContentSequence") or []
    if [child.get("ValueType") for child in children] != ["SCOORD"]:
        raise InvalidResultError("ContentSequence: a number needs exactly one region")
    points = children[0].get("GraphicData") or []
    if len(points) < 8 or list(points[:2]) != list(points[-2:]):
        raise InvalidResultError("GraphicData: the outline is not closed")


def _content_items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence") or []:
        yield item
        yield from _content_items(item)


def _evidence_uids(ds: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for keyword in (
            "CurrentRequestedProcedureEvidenceSequence",
            "PertinentOtherEvidenceSequence",
        )
        for study in ds.get(keyword) or []
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def _check_capture(ds: Dataset) -> None:
    _require(ds, _CAPTURE_TYPE_1, _CAPTURE_TYPE_2)
    # of an image the first, of a waveform the second
    if "SourceImageSequence" not in ds:
        _require(ds, ("ReferencedInstanceSequence",))
    frames = int(ds.NumberOfFrames)
    if frames > 1:
        _require(ds, ("FrameIncrementPointer",))
        timing = ds.FrameIncrementPointer
        if timing not in ds or ds[timing].is_empty:
            raise InvalidResultError("FrameIncrementPointer: points to nothing")
    meta = getattr(ds, "file_meta", Dataset())
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        raise InvalidResultError("TransferSyntaxUID: missing")
    if syntax.is_compressed:
        stored = len(parse_basic_offsets(ds.PixelData))
        if stored != frames:
            raise InvalidResultError("PixelData: holds another number of frames")
    else:
        size = frames * int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel)
        if len(ds.PixelData) != size + size % 2:
            raise InvalidResultError("PixelData: holds another number of bytes")
