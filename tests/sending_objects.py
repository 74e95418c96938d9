"""Result objects in small, for tests of sending."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from node.ledger.records import StoredObject

STUDY_UID = "2.25.1001"


def report(folder: Path, instance: int = 1, study_uid: str = STUDY_UID) -> StoredObject:
    """Write a tiny structured report."""
    ds = _dataset(Comprehensive3DSRStorage, instance, study_uid, ExplicitVRLittleEndian)
    ds.Modality = "SR"
    ds.ContentDate = "20260101"
    return _store(folder, ds, "sr")


def capture(folder: Path, instance: int = 2, frames: int = 3) -> StoredObject:
    """Write a tiny colour cine in JPEG baseline."""
    ds = _dataset(
        MultiFrameTrueColorSecondaryCaptureImageStorage, instance, STUDY_UID, JPEGBaseline8Bit
    )
    ds.Modality = "US"
    ds.Rows, ds.Columns, ds.NumberOfFrames = 48, 64, frames
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.LossyImageCompression = "01"
    encoded = [simplejpeg.encode_jpeg(picture(index), 92, "RGB", "422") for index in range(frames)]
    ds.PixelData = encapsulate(encoded)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return _store(folder, ds, "capture")


def picture(index: int) -> npt.NDArray[np.uint8]:
    """Draw an RGB frame ``(48, 64, 3)``: a red disc that moves over a grey ramp."""
    ramp = np.repeat(np.linspace(0, 160, 64).astype(np.uint8)[None], 48, axis=0)
    frame = np.ascontiguousarray(np.repeat(ramp[..., None], 3, axis=2))
    cv2.circle(frame, (16 + 8 * index, 24), 9, (220, 30, 30), -1)
    return frame


def _dataset(sop_class: UID, instance: int, study_uid: str, syntax: UID) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = f"{study_uid}.{instance}"
    ds.StudyInstanceUID = study_uid
    ds.SeriesInstanceUID = f"{study_uid}.9"
    ds.PatientID = "TEST"
    ds.PatientName = "Test^Patient"
    return ds


def _store(folder: Path, ds: Dataset, kind: Literal["sr", "capture"]) -> StoredObject:
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    ds.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    return StoredObject(
        kind=kind,
        finding="ejection_fraction",
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        study_instance_uid=str(ds.StudyInstanceUID),
        series_number=9001,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        path=path.name,
    )
