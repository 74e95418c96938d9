"""A simulated ECG as DICOM: valid, the same person, the same millivolts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.waveforms.numpy_handler import multiplex_array

from models.ecg import LEADS
from node.decode.scratch import Scratch
from node.decode.waveform import decode_waveform
from tests.dicom_tools import dciodvfy_errors
from train.phantom.dicom_identity import identify
from train.phantom.ecg.dicom_ecg import write_ecg
from train.phantom.ecg.recording import MICROVOLTS, render_ecg
from train.phantom.patient import draw_patient

PATIENT, SEED = 6, 31


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ecg") / "record" / "ecg.dcm"
    write_ecg(path, PATIENT, SEED)
    return path


def test_it_is_valid(path: Path) -> None:
    assert dciodvfy_errors(path) == []


def test_the_node_reads_the_same_millivolts(path: Path, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    try:
        recording, notes = decode_waveform(dcmread(path), False, 1 << 22, scratch)
        (group,) = recording.groups
        expected = render_ecg(draw_patient(PATIENT, SEED), SEED).millivolts
        assert notes == ()
        assert group.leads == LEADS
        assert (group.sampling_hz, group.label) == (500.0, "RHYTHM")
        np.testing.assert_allclose(group.millivolts, expected, atol=MICROVOLTS / 2000 + 1e-6)
    finally:
        scratch.close()


def test_others_read_it_too(path: Path) -> None:
    ds = dcmread(path)
    microvolts = multiplex_array(ds, 0, as_raw=False)
    expected = render_ecg(draw_patient(PATIENT, SEED), SEED).millivolts
    np.testing.assert_allclose(microvolts.T / 1000, expected, atol=MICROVOLTS / 2000 + 1e-6)


def test_who_it_is(path: Path, tmp_path: Path) -> None:
    ds = dcmread(path)
    echo = Dataset()
    identify(echo, draw_patient(PATIENT, SEED), SEED, "echo", "20260101")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        assert ds[keyword].value == echo[keyword].value
    assert ds.StudyInstanceUID != echo.StudyInstanceUID
    truth = write_ecg(tmp_path / "again.dcm", PATIENT, SEED)
    assert (tmp_path / "again.dcm").read_bytes() == path.read_bytes()
    assert truth["study_instance_uid"] == ds.StudyInstanceUID
    assert truth["voltage_mv"] == draw_patient(PATIENT, SEED).muscle.voltage_mv
