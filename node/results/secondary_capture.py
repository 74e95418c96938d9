"""Writes an explained instance as a multi-frame true colour capture that any viewer plays.

The capture is the convenient view of a result; the result itself is the report.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from node.results import codes
from node.results.capture_pixels import EncodedFrames, Frame, TransferSyntax, encode_frames
from node.results.header import (
    RESEARCH_USE_ONLY,
    add_contribution,
    add_equipment,
    add_file_meta,
    add_times,
    code_item,
    copy_patient_and_study,
    plain_text,
    series_description,
)
from node.results.primitives import Algorithm, Code

_DESCRIPTION_LENGTH = 1024  # ST, PS3.5 section 6.2
_BODY_PARTS = {"US": "HEART", "CR": "CHEST", "DX": "CHEST", "ECG": "HEART"}
#: Viewers don't look for pictures in series of these.
_NOT_SHOWN = ("ECG",)
_METHOD_OF_TRANSFER_SYNTAX = {JPEGBaseline8Bit: "ISO_10918_1", JPEGExtended12Bit: "ISO_10918_1"}


@dataclass(frozen=True, slots=True)
class CaptureContext:
    """What a capture needs beside its pixels.

    Attributes
    ----------
    title
        The finding's name for people.
    created_at
        From the ledger; a capture that is built again has the same bytes.
    device_uid
        Identifies this node, the same for all its results.
    method
        How the heatmap was made (CID 217).
    instance_number
        Counts the captures of one series.
    """

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    created_at: datetime
    node_version: str
    device_uid: str
    title: str
    algorithm: Algorithm
    method: Code = codes.GRADIENT_CLASS_ACTIVATION
    instance_number: int = 1
    transfer_syntax: TransferSyntax = "jpeg"


def build_capture(header: Dataset, frames: Iterable[Frame], context: CaptureContext) -> Dataset:
    """Build a Multi-frame True Color Secondary Capture (PS3.3 A.8.5).

    Parameters
    ----------
    header
        Header of the source, with its file meta information when there is one.
    frames
        uint8 RGB, each ``(rows, columns, 3)``: as many as the source has, or pages.

    Returns
    -------
    The capture with file meta information, ready to be written. As many frames as the source has
    keep its timing. The same arguments give the same bytes.

    Raises
    ------
    InvalidResultError
        When the frames are not usable.
    """
    encoded = encode_frames(frames, context.transfer_syntax)
    capture = copy_patient_and_study(header)
    _add_series_and_identity(capture, header, context)
    created_at = add_times(capture, context.created_at)
    add_equipment(capture, context.node_version, context.device_uid)
    algorithm = context.algorithm
    made_by = f"{algorithm.name} {algorithm.version}: {algorithm.statement}"
    add_contribution(capture, context.node_version, context.device_uid, created_at, made_by)
    _add_derivation(capture, header, context, made_by)
    _add_pixels(capture, encoded)
    if encoded.frames > 1 and encoded.frames == int(header.get("NumberOfFrames") or 1):
        _add_timing(capture, header, encoded.frames)
    elif encoded.frames > 1:
        _add_pages(capture, encoded.frames)
    _add_compression_history(capture, header, encoded.ratio)
    add_file_meta(capture, encoded.transfer_syntax_uid)
    return capture


def _add_series_and_identity(capture: Dataset, header: Dataset, context: CaptureContext) -> None:
    modality = str(header.get("Modality") or "OT")
    body_part = header.get("BodyPartExamined") or _BODY_PARTS.get(modality)
    if modality in _NOT_SHOWN:
        modality = "OT"
    capture.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    capture.SOPInstanceUID = context.sop_instance_uid
    capture.InstanceNumber = context.instance_number
    capture.ContentQualification = "RESEARCH"
    capture.Modality = modality  # viewers group the capture with its source
    capture.SeriesInstanceUID = context.series_instance_uid
    capture.SeriesNumber = context.series_number
    statement = context.algorithm.statement
    capture.SeriesDescription = series_description(f"{context.title} heatmap", statement)
    capture.ImageComments = plain_text(f"{RESEARCH_USE_ONLY}: {statement}")
    capture.ConversionType = "SYN"
    if body_part:
        capture.BodyPartExamined = body_part
    if body_part not in _BODY_PARTS.values():  # Type 2C: for all we know it is a paired structure
        capture.Laterality = header.get("Laterality")
    capture.PatientOrientation = None
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"  # echo machines draw the name into the picture
    capture.RecognizableVisualFeatures = "NO"


def _add_derivation(
    capture: Dataset, header: Dataset, context: CaptureContext, made_by: str
) -> None:
    """Name the source and what was done to it (PS3.3 C.7.6.1, C.12.2)."""
    capture.DerivationDescription = plain_text(
        f"{context.title}: {context.method.meaning} heatmap and region drawn over the source by "
        f"{made_by}. {RESEARCH_USE_ONLY}."
    )[:_DESCRIPTION_LENGTH]
    capture.DerivationCodeSequence = [code_item(context.method)]
    source = Dataset()
    source.ReferencedSOPClassUID = header.SOPClassUID
    source.ReferencedSOPInstanceUID = header.SOPInstanceUID
    referenced = copy.deepcopy(source)
    if "WaveformSequence" in header:  # only images can be source images
        source.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_OF_MEASUREMENT)]
        capture.ReferencedInstanceSequence = [source]
    else:
        source.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
        capture.SourceImageSequence = [source]
    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ReferencedInstanceSequence = [referenced]
    capture.ReferencedSeriesSequence = [series]


def _add_pixels(capture: Dataset, encoded: EncodedFrames) -> None:
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = encoded.photometric_interpretation
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = encoded.rows, encoded.columns
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0
    capture.NumberOfFrames = encoded.frames
    capture.add_new(Tag("PixelData"), "OB", encoded.pixel_data)


def _add_timing(capture: Dataset, header: Dataset, frames: int) -> None:
    """Keep the source's frame times (PS3.3 C.7.6.5); none are made up."""
    vector = header.get("FrameTimeVector")
    rate = header.get("CineRate") or header.get("RecommendedDisplayFrameRate")
    if vector is not None and not isinstance(vector, (str, float)) and len(vector) == frames:
        capture.FrameTimeVector = list(vector)
        capture.FrameIncrementPointer = Tag("FrameTimeVector")
    elif header.get("FrameTime"):
        capture.FrameTime = header.FrameTime
        capture.FrameIncrementPointer = Tag("FrameTime")
    elif rate:
        capture.FrameTime = round(1000 / float(rate), 4)
        capture.FrameIncrementPointer = Tag("FrameTime")
    else:
        _add_pages(capture, frames)
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        if header.get(keyword):
            capture.add(copy.deepcopy(header[keyword]))


def _add_pages(capture: Dataset, frames: int) -> None:
    """Say that the frames follow each other without times (PS3.3 C.8.6.3)."""
    capture.PageNumberVector = list(range(1, frames + 1))
    capture.FrameIncrementPointer = Tag("PageNumberVector")


def _add_compression_history(capture: Dataset, header: Dataset, ratio: float | None) -> None:
    """What was lost once stays lost: ratios and methods are accumulated (PS3.3 C.7.6.1.1.5)."""
    steps = _steps_of_source(header)
    known = steps is not None
    lossy_before = str(header.get("LossyImageCompression") or "") == "01"
    steps = list(steps or ())
    if ratio is not None:
        steps.append((f"{ratio:.2f}", "ISO_10918_1"))
    capture.LossyImageCompression = "01" if steps or lossy_before else "00"
    if steps and (known or ratio is not None):
        capture.LossyImageCompressionRatio = [step[0] for step in steps]
        capture.LossyImageCompressionMethod = [step[1] for step in steps]


def _steps_of_source(header: Dataset) -> list[tuple[str, str]] | None:
    """(ratio, method) of each earlier lossy step; None when the source doesn't say both."""
    ratios = _values(header, "LossyImageCompressionRatio")
    methods = _values(header, "LossyImageCompressionMethod")
    if not methods and len(ratios) == 1:
        meta = getattr(header, "file_meta", Dataset())
        method = _METHOD_OF_TRANSFER_SYNTAX.get(meta.get("TransferSyntaxUID"))
        methods = [method] if method else []
    if len(ratios) != len(methods):
        return None
    return list(zip(ratios, methods, strict=True))


def _values(header: Dataset, keyword: str) -> list[str]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, (str, float)) else [str(item) for item in value]
