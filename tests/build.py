"""Makes small DICOM objects for tests: an echo clip, an echo still, an ECG and a chest X-ray.

The same arguments make the same bytes. Names of studies and patients are letters of the test's
choice; UIDs are derived from them.
"""

from __future__ import annotations

import uuid
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

ULTRASOUND_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"

_LEADS = {  # CID 3001, scheme MDC
    "I": "2:1", "II": "2:2", "III": "2:61", "aVR": "2:62", "aVL": "2:63", "aVF": "2:64",
    "V1": "2:3", "V2": "2:4", "V3": "2:5", "V4": "2:6", "V5": "2:7", "V6": "2:8",
}  # fmt: skip


def make_uid(*names: object) -> str:
    """A UID derived from names (PS3.5 Annex B.2)."""
    text = "/".join(str(name) for name in names)
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}")


def make_echo_clip(
    *,
    study: str = "A",
    patient: str = "P1",
    number: int = 1,
    frames: int = 6,
    rows: int = 96,
    columns: int = 128,
    frame_time_ms: float | None = 40.0,
    calibrated: bool = True,
    **attributes: Any,
) -> Dataset:
    """A B-mode cine: a bright ring that beats in a dark sector.

    Parameters
    ----------
    frame_time_ms
        None leaves the frames' times out.
    calibrated
        With a region of 0.05 cm per pixel over the whole image.
    attributes
        Further DICOM attributes by keyword; None removes one.
    """
    ds = _instance(ULTRASOUND_MULTIFRAME, "US", study, patient, number)
    beat = np.arange(frames) / max(frames, 1)
    radii = 0.3 * min(rows, columns) * (1 - 0.2 * np.sin(2 * np.pi * beat))
    pixels = np.stack([_ring(rows, columns, radius) for radius in radii])
    _image(ds, pixels)
    ds.NumberOfFrames = frames
    if frame_time_ms is not None:
        ds.FrameTime = f"{frame_time_ms:g}"
        ds.FrameIncrementPointer = 0x00181063
    if calibrated:
        ds.SequenceOfUltrasoundRegions = Sequence([_region(rows, columns)])
    return _with(ds, attributes)


def make_echo_still(
    *,
    study: str = "A",
    patient: str = "P1",
    number: int = 1,
    rows: int = 96,
    columns: int = 128,
    **attributes: Any,
) -> Dataset:
    """One frame of :func:`make_echo_clip`, calibrated."""
    ds = _instance(ULTRASOUND, "US", study, patient, number)
    _image(ds, _ring(rows, columns, 0.3 * min(rows, columns))[np.newaxis])
    ds.SequenceOfUltrasoundRegions = Sequence([_region(rows, columns)])
    return _with(ds, attributes)


def make_cxr(
    *,
    study: str = "A",
    patient: str = "P1",
    number: int = 1,
    rows: int = 120,
    columns: int = 100,
    view_position: str = "PA",
    **attributes: Any,
) -> Dataset:
    """A chest radiograph for presentation, 12 bits in 16, MONOCHROME2: two dark lungs."""
    ds = _instance(DIGITAL_XRAY, "DX", study, patient, number)
    y, x = np.mgrid[:rows, :columns]
    pixels = np.full((rows, columns), 2800, np.uint16)
    for centre in (0.3, 0.7):
        inside = ((x / columns - centre) / 0.15) ** 2 + ((y / rows - 0.5) / 0.35) ** 2 < 1
        pixels[inside] = 900
    _image(ds, pixels[np.newaxis], bits_stored=12)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = view_position
    ds.ImageLaterality = "U"
    ds.PatientOrientation = ["L", "F"]
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = -1
    ds.RescaleIntercept = "0"
    ds.RescaleSlope = "1"
    ds.RescaleType = "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter = "2000"
    ds.WindowWidth = "3000"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.ImagerPixelSpacing = [0.4, 0.4]
    ds.PixelSpacing = [0.4, 0.4]
    return _with(ds, attributes)


def make_ecg(
    *,
    study: str = "A",
    patient: str = "P1",
    number: int = 1,
    seconds: float = 2.0,
    sampling_hz: int = 500,
    heart_rate_bpm: float = 60.0,
    **attributes: Any,
) -> Dataset:
    """A twelve-lead ECG of 1 mV spikes, 16 bits, 1 uV a step."""
    ds = _instance(TWELVE_LEAD_ECG, "ECG", study, patient, number)
    samples = int(seconds * sampling_hz)
    since_beat_s = (np.arange(samples) / sampling_hz) % (60.0 / heart_rate_bpm)
    spike = np.where(since_beat_s < 0.04, 1000, 0).astype("<i2")
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels = len(_LEADS)
    group.NumberOfWaveformSamples = samples
    group.SamplingFrequency = str(sampling_hz)
    group.MultiplexGroupLabel = "RHYTHM"
    group.ChannelDefinitionSequence = Sequence([_channel(lead) for lead in _LEADS])
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    group.WaveformData = np.repeat(spike[:, np.newaxis], len(_LEADS), axis=1).tobytes()
    group["WaveformData"].VR = "OW"
    ds.WaveformSequence = Sequence([group])
    ds.AcquisitionDateTime = "20240102030405"
    return _with(ds, attributes)


def encode(ds: Dataset) -> bytes:
    """The instance as a Part 10 file's bytes."""
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def save(ds: Dataset, folder: Path) -> Path:
    """Write the instance into a folder, named by its UID."""
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    path.write_bytes(encode(ds))
    return path


def _instance(sop_class_uid: str, modality: str, study: str, patient: str, number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = make_uid("instance", study, modality, number)
    ds.SeriesInstanceUID = make_uid("series", study, modality)
    ds.StudyInstanceUID = make_uid("study", study)
    ds.Modality = modality
    ds.Manufacturer = "cardionode tests"
    ds.PatientName = f"Test^{patient}"
    ds.PatientID = patient
    ds.PatientBirthDate = "19500102"
    ds.PatientSex = "O"
    ds.StudyID = study
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20240102"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "030405"
    ds.SeriesNumber = 1
    ds.InstanceNumber = number
    ds.Laterality = ""
    return ds


def _image(ds: Dataset, pixels: np.ndarray, bits_stored: int | None = None) -> None:
    bits = pixels.dtype.itemsize * 8
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[1:3]
    ds.BitsAllocated = bits
    ds.BitsStored = bits_stored or bits
    ds.HighBit = (bits_stored or bits) - 1
    ds.PixelRepresentation = 0
    raw = pixels.tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"


def _ring(rows: int, columns: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    distance = np.hypot(x - columns / 2, y - rows / 2)
    in_sector = np.abs(x - columns / 2) < 0.6 * y
    wall = np.exp(-(((distance - radius) / 4.0) ** 2))
    return np.where(in_sector, 30 + 200 * wall, 0).astype(np.uint8)


def _region(rows: int, columns: int) -> Dataset:
    # PS3.3 C.8.5.5: 2D tissue, both directions in cm.
    region = Dataset()
    region.RegionSpatialFormat = 1
    region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0 = 0
    region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1 = columns - 1
    region.RegionLocationMaxY1 = rows - 1
    region.PhysicalUnitsXDirection = 3
    region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = 0.05
    region.PhysicalDeltaY = 0.05
    return region


def _channel(lead: str) -> Dataset:
    channel = Dataset()
    channel.ChannelSourceSequence = Sequence([_code(_LEADS[lead], "MDC", f"Lead {lead}")])
    channel.ChannelSensitivity = "1"
    channel.ChannelSensitivityUnitsSequence = Sequence([_code("uV", "UCUM", "microvolt")])
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "0"
    channel.ChannelSampleSkew = "0"
    channel.WaveformBitsStored = 16
    return channel


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code


def _with(ds: Dataset, attributes: dict[str, Any]) -> Dataset:
    for keyword, value in attributes.items():
        if value is not None:
            setattr(ds, keyword, value)
        elif keyword in ds:
            delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "")
    return ds
