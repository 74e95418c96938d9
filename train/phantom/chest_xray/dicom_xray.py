"""Writes the chest film of a simulated patient as a DX instance, in a study of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from train.phantom.chest_xray.film import Projection, render_xray
from train.phantom.dicom_identity import XRAY_DATE, identify
from train.phantom.patient import Patient, draw_patient

_SIZE = 1024
_BITS = 12
_AP_CM = {"PA": 180.0, "AP": 105.0, "LL": 180.0}


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def write_film(
    path: Path,
    patient_id: int,
    seed: int,
    projection: Projection = "PA",
    size: int = _SIZE,
    date: str = XRAY_DATE,
) -> dict[str, Any]:
    """Simulate a patient's chest film and write it.

    Parameters
    ----------
    path
        Of the instance; its folder is made when absent.
    patient_id, seed
        The patient, as in a cohort of this seed.
    projection
        PA, AP or LL.
    size
        Side of the film in pixels.
    date
        Of the study, YYYYMMDD.

    Returns
    -------
    The truth, with ``sop_instance_uid`` and ``study_instance_uid``.
    """
    patient = draw_patient(patient_id, seed)
    film = render_xray(patient, seed, size, projection)
    ds = Dataset()
    _identify(ds, patient, seed, projection, date)
    _acquisition(ds, projection, film.pixel_cm)
    _pixels(ds, film.pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return {
        "sop_instance_uid": str(ds.SOPInstanceUID),
        "study_instance_uid": str(ds.StudyInstanceUID),
        "patient_id": patient_id,
        "seed": seed,
        "projection": projection,
        **film.truth,
    }


def _identify(ds: Dataset, patient: Patient, seed: int, projection: Projection, date: str) -> None:
    study = "xray" if projection == "PA" else f"xray {projection}"
    identify(ds, patient, seed, study, date)
    ds.SOPClassUID, ds.Modality = DigitalXRayImageStorageForPresentation, "DX"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.AcquisitionDate, ds.AcquisitionTime = ds.StudyDate, ds.StudyTime
    ds.ManufacturerModelName = ds.Manufacturer
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    ds.SeriesDescription = f"Simulated chest film {projection}"


def _acquisition(ds: Dataset, projection: Projection, pixel_cm: float) -> None:
    """The DX modules (PS3.3 C.8.11): anatomy, positioning, detector, what was done to the grey."""
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.BodyPartExamined, ds.ImageLaterality = "CHEST", "U"
    ds.AnatomicRegionSequence = [_code("51185008", "SCT", "Chest")]
    ds.ViewPosition = projection
    view = {
        "PA": ("399348003", "postero-anterior"),
        "AP": ("399368009", "antero-posterior"),
        "LL": ("399198007", "right lateral"),
    }[projection]
    ds.ViewCodeSequence = [_code(view[0], "SCT", view[1])]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.PatientOrientation = ["P", "F"] if projection == "LL" else ["L", "F"]
    ds.DistanceSourceToDetector = 10 * _AP_CM[projection]
    ds.ImagerPixelSpacing = [round(10 * pixel_cm, 6)] * 2
    ds.PositionerType = "COLUMN"
    ds.DetectorType, ds.KVP = "DIRECT", 120
    ds.AcquisitionContextSequence = []
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"


def _pixels(ds: Dataset, pixels: np.ndarray) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    top = (1 << _BITS) - 1
    stored = np.round(np.clip(pixels, 0.0, 1.0) * top).astype("<u2")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, _BITS, _BITS - 1, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
    ds.PresentationLUTShape = "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.WindowCenter, ds.WindowWidth = (top + 1) // 2, top + 1
    ds.PixelData = stored.tobytes()
