"""Who a simulated patient is in DICOM: the same person in every study of the record."""

from __future__ import annotations

import uuid

from pydicom import Dataset

from train.phantom.patient import Patient

_NAMESPACE = uuid.UUID("6f9f3b56-8d0c-5d4e-9d2f-2a57a4a5c0de")
_YEAR = 2026

#: Dates of the studies of a record: the ECG lies within a week of the X-ray.
ECHO_DATE, ECG_DATE, XRAY_DATE = "20260101", "20260103", "20260105"


def derive_uid(*parts: object) -> str:
    """Make a UID that is the same for the same parts."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(str(p) for p in parts)).int}"


def identify(
    ds: Dataset, patient: Patient, seed: int, study: str, date: str, number: int = 1
) -> None:
    """Fill in patient, study, series and instance (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.12.1).

    Parameters
    ----------
    ds
        SOPClassUID and Modality are the caller's.
    patient, seed
        Whose record.
    study
        Tells the studies of a record apart, e.g. ``ecg``.
    date
        Of the study, DA.
    number
        Of the instance in its series.
    """
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = derive_uid(seed, patient.patient_id, study, "instance", number)
    ds.StudyInstanceUID = derive_uid(seed, patient.patient_id, study, "study")
    ds.SeriesInstanceUID = derive_uid(seed, patient.patient_id, study, "series")
    ds.PatientName = f"Phantom^{seed}-{patient.patient_id:04d}"
    ds.PatientID = f"PHANTOM-{seed}-{patient.patient_id:04d}"
    ds.PatientBirthDate = f"{_YEAR - patient.person.age_years}0101"
    ds.PatientSex = patient.person.sex
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    ds.StudyID = f"P{patient.patient_id}"
    ds.Manufacturer = "cardionode phantom"
    ds.StudyDescription = "Simulated patient, not a person"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
