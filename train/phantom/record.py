"""Writes the whole cardiology record of a simulated patient: echo study, ECG and chest film."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from train.phantom.chest_xray.dicom_xray import write_film
from train.phantom.clip import VIEWS
from train.phantom.dicom_identity import ECG_DATE, XRAY_DATE
from train.phantom.dicom_study import write_study
from train.phantom.ecg.dicom_ecg import write_ecg

ECG, FILM = "ECG", "CXR"
#: What a record can hold: the views of the echo study, the ECG, the chest film.
RECORD = (*VIEWS, ECG, FILM)


def write_record(
    folder: Path,
    patient_id: int,
    seed: int,
    wanted: Sequence[str] = RECORD,
    frame_count: int = 64,
    tick: Callable[[], None] = lambda: None,
) -> Path:
    """Simulate a patient's record: three studies of one person within a week.

    Parameters
    ----------
    folder
        Gets ``<view>.dcm`` for each view, ``ecg.dcm``, ``cxr.dcm``, and ``truth.json``.
    patient_id, seed
        The patient, as in a cohort of this seed.
    wanted
        Of :data:`RECORD`.
    frame_count
        Frames of each clip.
    tick
        Called after each instance.

    Returns
    -------
    The truth's path.
    """
    views = tuple(name for name in wanted if name in VIEWS)
    path = write_study(folder, patient_id, seed, views, frame_count, tick)
    truth = json.loads(path.read_text())
    if ECG in wanted:
        truth["ecg"] = write_ecg(folder / "ecg.dcm", patient_id, seed, ECG_DATE)
        tick()
    if FILM in wanted:
        truth["cxr"] = write_film(folder / "cxr.dcm", patient_id, seed, date=XRAY_DATE)
        tick()
    path.write_text(json.dumps(truth, indent=1) + "\n")
    return path
