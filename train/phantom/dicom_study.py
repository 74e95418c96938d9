"""Writes a simulated patient as the DICOM study of an echo machine, with the truth beside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

from train.phantom.clip import VIEWS, PhantomClip, Resolution, render_clip
from train.phantom.dicom_identity import ECHO_DATE, derive_uid, identify
from train.phantom.patient import Patient, draw_patient
from train.phantom.screen import (
    COLUMNS,
    ECG_BOTTOM,
    ECG_TOP,
    LEFT,
    ROWS,
    TOP,
    WINDOW,
    Screen,
    draw_screen,
)

_USUAL_RATES = (25.0, 62.0)
#: Frames per second; a septal flash needs 30 frames in a heart cycle.
_FRAME_RATES = {"A4C": (53.0, 62.0)}
_DISPLAY = Resolution(depths=400, beams=220, render=WINDOW, size=WINDOW, centred=True)


def write_study(
    folder: Path,
    patient_id: int,
    seed: int,
    views: tuple[str, ...] = VIEWS,
    frame_count: int = 64,
    tick: Callable[[], None] = lambda: None,
) -> Path:
    """Simulate a patient's echo study.

    Parameters
    ----------
    folder
        Gets one DICOM instance per view, ``<view>.dcm``, and ``truth.json``.
    patient_id, seed
        The patient, as in a cohort of this seed.
    views
        Which views are recorded.
    frame_count
        Frames of each clip.
    tick
        Called after each clip.

    Returns
    -------
    The truth's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    patient = draw_patient(patient_id, seed)
    truth: dict[str, Any] = {
        "study_instance_uid": derive_uid(seed, patient_id, "echo", "study"),
        **patient.truth(),
        "patient_id": patient_id,
        "seed": seed,
        "clips": [],
    }
    for number, view in enumerate(views, start=1):
        # a short axis at the aortic valve: the only level about which a finding asks
        rates = _FRAME_RATES.get(view, _USUAL_RATES)
        clip = render_clip(
            patient, view, seed, frame_count, _DISPLAY, plane="aortic", frame_rates=rates
        )
        ds = _dataset(clip, patient, seed, number)
        ds.save_as(folder / f"{view.lower()}.dcm", enforce_file_format=True)
        truth["clips"].append(_clip_truth(clip, ds))
        tick()
    path = folder / "truth.json"
    path.write_text(json.dumps(truth, indent=1) + "\n")
    return path


def _clip_truth(clip: PhantomClip, ds: Dataset) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sop_instance_uid": str(ds.SOPInstanceUID),
        "view": clip.view,
        "frame_time_ms": clip.frame_time_ms,
        "r_peaks_ms": list(clip.cycle.r_peaks_ms),
        "end_diastolic_frame": int(np.argmin(clip.cycle.contraction)) + 1,
        "end_systolic_frame": int(np.argmax(clip.cycle.contraction)) + 1,
    }
    if clip.borders is not None:
        offset = np.array([LEFT, TOP, LEFT, TOP])
        row["ed_border_pixels"] = np.round(clip.borders[0] * WINDOW + offset, 2).tolist()
        row["es_border_pixels"] = np.round(clip.borders[1] * WINDOW + offset, 2).tolist()
    return row


def _dataset(clip: PhantomClip, patient: Patient, seed: int, number: int) -> Dataset:
    """One multi-frame ultrasound instance (PS3.3 A.7), JPEG baseline as most machines send it."""
    ds = Dataset()
    screen = draw_screen(clip, patient.heart_rate_bpm)
    identify(ds, patient, seed, "echo", ECHO_DATE, number)
    ds.SOPClassUID, ds.Modality = UltrasoundMultiFrameImageStorage, "US"
    ds.PatientOrientation, ds.BodyPartExamined = "", "HEART"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "TTE", "0001"]
    ds.SeriesDescription = "Simulated echocardiogram"
    ds.HeartRate = round(patient.heart_rate_bpm)
    ds.FrameTime = round(clip.frame_time_ms, 4)
    ds.FrameIncrementPointer = 0x00181063
    ds.CineRate = round(1000.0 / clip.frame_time_ms)
    ds.NumberOfFrames = len(clip.frames)
    if clip.cycle.r_peaks_ms:
        ds.RWaveTimeVector = [round(t, 3) for t in clip.cycle.r_peaks_ms]
    ds.SequenceOfUltrasoundRegions = _regions(screen, clip)
    _pixels(ds, screen)
    return ds


def _regions(screen: Screen, clip: PhantomClip) -> list[Dataset]:
    """The tissue region with its calibration, and the ECG strip (PS3.3 C.8.5.5)."""
    tissue = Dataset()
    tissue.RegionSpatialFormat, tissue.RegionDataType, tissue.RegionFlags = 1, 1, 0
    tissue.RegionLocationMinX0, tissue.RegionLocationMinY0 = LEFT, TOP
    tissue.RegionLocationMaxX1, tissue.RegionLocationMaxY1 = LEFT + WINDOW - 1, TOP + WINDOW - 1
    tissue.PhysicalUnitsXDirection = tissue.PhysicalUnitsYDirection = 3
    tissue.PhysicalDeltaX = tissue.PhysicalDeltaY = float(screen.pixel_cm)
    trace = Dataset()
    trace.RegionSpatialFormat, trace.RegionDataType, trace.RegionFlags = 4, 0xA, 0
    trace.RegionLocationMinX0, trace.RegionLocationMinY0 = LEFT, ECG_TOP
    trace.RegionLocationMaxX1, trace.RegionLocationMaxY1 = COLUMNS - 40, ECG_BOTTOM - 1
    trace.PhysicalUnitsXDirection, trace.PhysicalUnitsYDirection = 4, 0
    seconds = (clip.cycle.times_ms[-1] + clip.frame_time_ms) / 1000.0
    trace.PhysicalDeltaX, trace.PhysicalDeltaY = float(seconds / (COLUMNS - 40 - LEFT)), 1.0
    return [tissue, trace]


def _pixels(ds: Dataset, screen: Screen) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    coded = [
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(f), quality=85, colorspace="RGB", colorsubsampling="422"
        )
        for f in screen.frames
    ]
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = round(screen.frames.nbytes / sum(map(len, coded)), 2)
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = encapsulate(coded)
