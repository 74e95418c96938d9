"""Builders of small synthetic instances, encoded in any transfer syntax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

US, US_MULTI = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
DX, DX_RAW, CR = (
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1",
)
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
EXPLICIT, IMPLICIT, BIG = ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian
_JPEG = "1.2.840.10008.1.2.4."
BASELINE, EXTENDED, LOSSLESS, SV1 = _JPEG + "50", _JPEG + "51", _JPEG + "57", _JPEG + "70"
LS, J2K_LOSSLESS, J2K, RLE = _JPEG + "80", _JPEG + "90", _JPEG + "91", "1.2.840.10008.1.2.5"
NATIVE = (EXPLICIT, IMPLICIT, BIG)


def header(sop_class_uid: str, modality: str) -> Dataset:
    """Return a data set with the identity that every instance has."""
    ds = Dataset()
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.3", "2.25.1", "2.25.2"
    ds.PatientName, ds.PatientID, ds.Modality = "Secret^Name", "SECRET-ID", modality
    return ds


def grey_frames(frames: int = 1, rows: int = 40, columns: int = 48) -> np.ndarray:
    """Return uint8 ``(frames, rows, columns)``, every frame different."""
    n, y, x = np.mgrid[:frames, :rows, :columns]
    return ((x * 3 + y * 2 + n * 17) % 256).astype(np.uint8)


def colour_frames(frames: int = 1, rows: int = 40, columns: int = 48) -> np.ndarray:
    """Return uint8 RGB ``(frames, rows, columns, 3)``: a smooth, faint tint, no colour Doppler."""
    n, y, x = np.mgrid[:frames, :rows, :columns]
    base = 60 + x * 2 + y + n * 5
    return np.clip(np.stack([base, base - 8, base - 15], axis=-1), 0, 255).astype(np.uint8)


def encode_frame(frame: np.ndarray, transfer_syntax_uid: str) -> bytes:
    """Return one frame compressed; baseline in the best quality."""
    pixels = np.ascontiguousarray(frame)
    if transfer_syntax_uid == BASELINE:
        if pixels.ndim == 2:
            return simplejpeg.encode_jpeg(pixels[..., np.newaxis], 98, "GRAY", "Gray")
        return simplejpeg.encode_jpeg(pixels, 98, "RGB", "444")
    if transfer_syntax_uid == EXTENDED:
        return bytes(imagecodecs.jpeg8_encode(pixels, 100, bitspersample=12))
    if transfer_syntax_uid in (LOSSLESS, SV1):
        bits = pixels.dtype.itemsize * 8
        return bytes(
            imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=bits)
        )
    if transfer_syntax_uid == LS:
        return bytes(imagecodecs.jpegls_encode(pixels))
    if transfer_syntax_uid == J2K_LOSSLESS:
        return bytes(
            imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, mct=True)
        )
    if transfer_syntax_uid == J2K:
        return bytes(
            imagecodecs.jpeg2k_encode(
                pixels, 50, codecformat="j2k", reversible=False, mct=pixels.ndim == 3
            )
        )
    raise ValueError(transfer_syntax_uid)


def put_pixels(
    ds: Dataset,
    frames: np.ndarray,
    transfer_syntax_uid: str = EXPLICIT,
    photometric: str = "MONOCHROME2",
    planar: int = 0,
    bits_stored: int | None = None,
) -> Dataset:
    """Set the image pixel module; ``frames`` are the stored samples, ``(frames, rows, ...)``."""
    bits = frames.dtype.itemsize * 8
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.SamplesPerPixel = frames.shape[3] if frames.ndim == 4 else 1
    ds.PhotometricInterpretation = photometric
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = planar
    ds.BitsAllocated, ds.BitsStored = bits, bits_stored or bits
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    if transfer_syntax_uid in NATIVE:
        stored = np.moveaxis(frames, 3, 1) if planar and frames.ndim == 4 else frames
        raw = stored.astype(frames.dtype.newbyteorder(">" if transfer_syntax_uid == BIG else "<"))
        data = raw.tobytes()
        ds.PixelData = data + b"\0" * (len(data) % 2)
        ds["PixelData"].VR = "OW" if bits == 16 or transfer_syntax_uid == IMPLICIT else "OB"
        return ds
    if transfer_syntax_uid == RLE:
        options: dict[str, Any] = {
            "rows": ds.Rows, "columns": ds.Columns, "samples_per_pixel": ds.SamplesPerPixel,
            "bits_allocated": bits, "bits_stored": ds.BitsStored, "number_of_frames": 1,
            "pixel_representation": ds.PixelRepresentation, "photometric_interpretation": "RGB"
            if ds.SamplesPerPixel == 3 else "MONOCHROME2", "planar_configuration": 0,
        }  # fmt: skip
        encoded = [
            RLELosslessEncoder.encode(np.ascontiguousarray(f), encoding_plugin="pydicom", **options)
            for f in frames
        ]
    else:
        encoded = [encode_frame(frame, transfer_syntax_uid) for frame in frames]
    ds.PixelData = encapsulate(encoded)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def region(
    box: tuple[int, int, int, int], spatial_format: int = 1, data_type: int = 1, delta: float = 0.1
) -> Dataset:
    """Return a region item; ``box`` is inclusive as in the standard, ``delta`` in cm or s."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial_format, data_type, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection = 3 if spatial_format == 1 else 4
    item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = delta
    return item


def echo(
    frames: np.ndarray,
    transfer_syntax_uid: str = EXPLICIT,
    photometric: str = "MONOCHROME2",
    planar: int = 0,
    **attributes: Any,
) -> Dataset:
    """Return an ultrasound still or clip; a clip has a FrameTime of 20 ms unless told otherwise."""
    ds = header(US_MULTI if len(frames) > 1 else US, "US")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "TTE", "0001"]
    if len(frames) > 1:
        ds.FrameTime, ds.FrameIncrementPointer = "20", 0x00181063
    put_pixels(ds, frames, transfer_syntax_uid, photometric, planar)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def lead(code: str, scheme: str = "MDC", unit: str = "uV", sensitivity: str = "5") -> Dataset:
    """Return a channel definition."""
    source, units, channel = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = code, scheme, "a lead"
    units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", "a unit"
    channel.ChannelSourceSequence = Sequence([source])
    channel.ChannelSensitivity = sensitivity
    channel.ChannelSensitivityUnitsSequence = Sequence([units])
    channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = "1", "0"
    channel.WaveformBitsStored = 16
    return channel


def group(
    samples: np.ndarray, channels: list[Dataset], hz: str = "500", label: str = "RHYTHM"
) -> Dataset:
    """Return a multiplex group of int16 ``(samples, channels)``."""
    item = Dataset()
    item.NumberOfWaveformSamples, item.NumberOfWaveformChannels = samples.shape
    item.SamplingFrequency, item.MultiplexGroupLabel = hz, label
    item.ChannelDefinitionSequence = Sequence(channels)
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
    item.WaveformData = samples.astype("<i2").tobytes()
    item["WaveformData"].VR = "OW"
    return item


def ecg(*groups: Dataset) -> Dataset:
    """Return an ECG of multiplex groups."""
    ds = header(ECG, "ECG")
    ds.WaveformSequence = Sequence(groups)
    return ds


def save(ds: Dataset, path: Path, transfer_syntax_uid: str = EXPLICIT) -> Path:
    """Write an instance as Part 10 and return its path."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path
