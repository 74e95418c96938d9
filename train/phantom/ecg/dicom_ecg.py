"""Writes the ECG of a simulated patient as a twelve-lead waveform instance, in its own study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage

from models.ecg import LEADS, RATE_HZ
from train.phantom.dicom_identity import ECG_DATE, identify
from train.phantom.ecg.recording import MICROVOLTS, SAMPLES, render_ecg
from train.phantom.patient import Patient, draw_patient

#: Of the leads, PS3.16 CID 3001 (ISO/IEEE 11073-10101 Annex A): I, II, III, aVR, aVL, aVF, V1-V6.
_MDC = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
_BAND_HZ = (0.05, 150)


def write_ecg(path: Path, patient_id: int, seed: int, date: str = ECG_DATE) -> dict[str, Any]:
    """Simulate a patient's ECG and write it.

    Parameters
    ----------
    path
        Of the instance; its folder is made when absent.
    patient_id, seed
        The patient, as in a cohort of this seed.
    date
        Of the study, YYYYMMDD.

    Returns
    -------
    The truth, with ``sop_instance_uid`` and ``study_instance_uid``.
    """
    patient = draw_patient(patient_id, seed)
    ecg = render_ecg(patient, seed)
    ds = Dataset()
    _identify(ds, patient, seed, date)
    stored = np.clip(np.round(ecg.millivolts * (1000.0 / MICROVOLTS)), -32767, 32767)
    ds.WaveformSequence = [_group(stored.astype("<i2"))]
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return {
        "sop_instance_uid": str(ds.SOPInstanceUID),
        "study_instance_uid": str(ds.StudyInstanceUID),
        **ecg.truth,
        "seed": seed,
    }


def _identify(ds: Dataset, patient: Patient, seed: int, date: str) -> None:
    """Patient to instance, and what the waveform modules ask (PS3.3 A.34.3, C.10.8, C.7.6.14)."""
    identify(ds, patient, seed, "ecg", date)
    ds.SOPClassUID, ds.Modality = TwelveLeadECGWaveformStorage, "ECG"
    ds.AcquisitionDateTime = f"{ds.StudyDate}{ds.StudyTime}"
    ds.ManufacturerModelName = ds.Manufacturer
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    ds.SeriesDescription = "Simulated ECG"
    ds.AcquisitionContextSequence = []
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _group(stored: np.ndarray) -> Dataset:
    """The multiplex group (PS3.3 C.10.9) of samples ``(12, 5000)`` in units of MICROVOLTS."""
    item = Dataset()
    item.WaveformOriginality = "ORIGINAL"
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = len(LEADS), SAMPLES
    item.SamplingFrequency = f"{RATE_HZ:g}"
    item.MultiplexGroupLabel = "RHYTHM"
    item.ChannelDefinitionSequence = [
        _channel(number, name, code)
        for number, (name, code) in enumerate(zip(LEADS, _MDC, strict=True), start=1)
    ]
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
    item.add_new("WaveformData", "OW", np.ascontiguousarray(stored.T).tobytes())
    return item


def _channel(number: int, name: str, code: int) -> Dataset:
    item = Dataset()
    item.WaveformChannelNumber, item.ChannelLabel = number, name
    item.ChannelSourceSequence = [_code(f"2:{code}", "MDC", f"Lead {name}")]
    item.ChannelSensitivity, item.ChannelSensitivityCorrectionFactor = f"{MICROVOLTS:g}", "1"
    item.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    item.ChannelBaseline, item.ChannelSampleSkew = "0", "0"
    item.WaveformBitsStored = 16
    item.FilterLowFrequency, item.FilterHighFrequency = (f"{hz:g}" for hz in _BAND_HZ)
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
