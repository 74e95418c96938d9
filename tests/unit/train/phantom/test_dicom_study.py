"""A simulated patient as DICOM: valid, readable, calibrated, with the truth in its pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage

from models.volumes import disc_sum_ejection_fraction
from tests.dicom_tools import dciodvfy_errors
from train.phantom.clip import VIEWS, Resolution, render_clip
from train.phantom.dicom_study import write_study
from train.phantom.patient import draw_patient
from train.phantom.screen import COLUMNS, ROWS, WINDOW, draw_screen, ecg_millivolts

PATIENT, SEED, FRAMES = 7, 31, 6
SAMPLE = Path(__file__).parents[4] / "sample_dicom" / "phantom"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ticks: list[int] = []
    folder = tmp_path_factory.mktemp("study")
    truth = write_study(folder, PATIENT, SEED, frame_count=FRAMES, tick=lambda: ticks.append(1))
    assert truth == folder / "truth.json"
    assert len(ticks) == len(VIEWS)
    return folder


@pytest.fixture(scope="module")
def truth(study: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((study / "truth.json").read_text())
    return found


def _instance(study: Path, view: str) -> Dataset:
    return dcmread(study / f"{view.lower()}.dcm")


@pytest.mark.parametrize("view", VIEWS)
def test_instances_are_valid(study: Path, view: str) -> None:
    assert dciodvfy_errors(study / f"{view.lower()}.dcm") == []


@pytest.mark.parametrize("view", VIEWS)
def test_instances_decode(study: Path, view: str) -> None:
    ds = _instance(study, view)
    assert ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert ds.SOPClassUID == UltrasoundMultiFrameImageStorage
    pixels = ds.pixel_array
    assert pixels.shape == (FRAMES, ROWS, COLUMNS, 3)
    clip = render_clip(
        draw_patient(PATIENT, SEED),
        view,
        SEED,
        FRAMES,
        Resolution(depths=400, beams=220, render=WINDOW, size=WINDOW, centred=True),
    )
    drawn = draw_screen(clip, draw_patient(PATIENT, SEED).heart_rate_bpm).frames
    luminance = drawn.astype(float) @ (0.299, 0.587, 0.114)
    decoded = pixels.astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(luminance - decoded).mean() < 2


def test_the_patient_is_said_to_be_a_phantom(study: Path) -> None:
    for view in VIEWS:
        ds = _instance(study, view)
        assert str(ds.PatientName).startswith("Phantom^")
        assert str(ds.PatientID) == f"PHANTOM-{SEED}-{PATIENT:04d}"
        assert "imulated" in ds.SeriesDescription
        assert "phantom" in ds.Manufacturer


def test_instances_belong_together_and_repeat(study: Path, tmp_path: Path) -> None:
    found = [_instance(study, view) for view in VIEWS]
    assert len({ds.StudyInstanceUID for ds in found}) == 1
    assert len({ds.SeriesInstanceUID for ds in found}) == 1
    assert len({ds.SOPInstanceUID for ds in found}) == len(VIEWS)
    write_study(tmp_path, PATIENT, SEED, VIEWS[:1], FRAMES)
    name = f"{VIEWS[0].lower()}.dcm"
    assert (tmp_path / name).read_bytes() == (study / name).read_bytes()


@pytest.mark.parametrize("view", VIEWS)
def test_timing_is_told(study: Path, truth: dict[str, Any], view: str) -> None:
    ds = _instance(study, view)
    clip = next(c for c in truth["clips"] if c["view"] == view)
    assert clip["sop_instance_uid"] == ds.SOPInstanceUID
    assert float(ds.FrameTime) == pytest.approx(clip["frame_time_ms"], abs=1e-3)
    assert ds.FrameIncrementPointer == 0x00181063
    assert ds.HeartRate == pytest.approx(truth["heart_rate_bpm"], abs=0.5)
    if clip["r_peaks_ms"]:
        told = np.atleast_1d(np.array(ds.RWaveTimeVector, float))
        np.testing.assert_allclose(told, clip["r_peaks_ms"], atol=1e-3)
    else:
        assert "RWaveTimeVector" not in ds


def test_r_waves_are_told_when_the_clip_holds_some(tmp_path: Path) -> None:
    truth = json.loads(write_study(tmp_path, 2, SEED, ("A4C",), 64).read_text())
    peaks = truth["clips"][0]["r_peaks_ms"]
    assert len(peaks) >= 1
    told = np.atleast_1d(np.array(_instance(tmp_path, "A4C").RWaveTimeVector, float))
    np.testing.assert_allclose(told, peaks, atol=1e-3)


def test_regions_lie_in_the_image_and_the_tissue_is_calibrated(study: Path) -> None:
    for view in VIEWS:
        ds = _instance(study, view)
        tissue, trace = ds.SequenceOfUltrasoundRegions
        for region in (tissue, trace):
            assert 0 <= region.RegionLocationMinX0 < region.RegionLocationMaxX1 < ds.Columns
            assert 0 <= region.RegionLocationMinY0 < region.RegionLocationMaxY1 < ds.Rows
        assert tissue.RegionLocationMaxY1 < trace.RegionLocationMinY0
        assert (tissue.RegionSpatialFormat, tissue.RegionDataType) == (1, 1)
        assert tissue.PhysicalUnitsXDirection == 3
        side_cm = tissue.PhysicalDeltaX * WINDOW
        assert tissue.PhysicalDeltaX == tissue.PhysicalDeltaY
        assert 11 <= side_cm <= 35


@pytest.mark.parametrize("view", ["A4C", "A2C"])
def test_truth_borders_are_pixels_of_the_tissue(
    study: Path, truth: dict[str, Any], view: str
) -> None:
    clip = next(c for c in truth["clips"] if c["view"] == view)
    borders = np.array([clip["ed_border_pixels"], clip["es_border_pixels"]])
    ds = _instance(study, view)
    tissue = ds.SequenceOfUltrasoundRegions[0]
    assert borders[..., 0::2].min() >= tissue.RegionLocationMinX0
    assert borders[..., 0::2].max() <= tissue.RegionLocationMaxX1
    assert borders[..., 1::2].min() >= tissue.RegionLocationMinY0
    assert borders[..., 1::2].max() <= tissue.RegionLocationMaxY1
    found = 100 * disc_sum_ejection_fraction(borders)
    assert found == pytest.approx(truth["ef_percent"], abs=1.0)
    # What the pixels measure is the patient's length: the calibration and the truth agree.
    middle = (borders[0, :, :2] + borders[0, :, 2:]) / 2
    length_cm = np.linalg.norm(middle[-1] - middle[0]) * 20 / 19 * tissue.PhysicalDeltaX
    assert length_cm == pytest.approx(truth["length_cm"], abs=0.6)


def test_truth_names_the_patient_the_seed_and_the_frames(truth: dict[str, Any]) -> None:
    assert (truth["patient_id"], truth["seed"]) == (PATIENT, SEED)
    assert truth["esv_ml"] < truth["edv_ml"]
    for clip in truth["clips"]:
        assert 1 <= clip["end_diastolic_frame"] <= FRAMES
        assert 1 <= clip["end_systolic_frame"] <= FRAMES


def test_the_sector_is_not_cut_off(study: Path) -> None:
    for view in VIEWS:
        window = _instance(study, view).pixel_array[0, 24 : 24 + WINDOW, 120 : 120 + WINDOW]
        grey = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY)
        # Only the sector's outermost points may touch the window, never a length of its edge.
        for edge in (grey[:, 0], grey[:, -1], grey[0]):
            assert (edge > 24).sum() < 0.1 * WINDOW


def test_the_strip_has_a_peak_at_every_r() -> None:
    times = np.arange(0.0, 2400.0)
    trace = ecg_millivolts(times, (300.0, 1100.0, 1900.0), 800.0)
    assert {int(k) for k in np.argsort(trace)[-3:]} <= set(range(297, 304)) | set(
        range(1097, 1104)
    ) | set(range(1897, 1904))
    assert trace.max() == pytest.approx(1.1, abs=0.1)


def test_a_screen_wants_the_size_of_its_window() -> None:
    clip = render_clip(draw_patient(0, 1), "PLAX", 1, 4)
    with pytest.raises(ValueError, match="400"):
        draw_screen(clip, 60.0)


def test_the_sample_is_the_patient_that_it_says() -> None:
    truth = json.loads((SAMPLE / "truth.json").read_text())
    patient = json.loads(json.dumps(draw_patient(truth["patient_id"], truth["seed"]).truth()))
    assert {name: truth[name] for name in patient} == patient
    for clip in (*truth["clips"], truth["ecg"], truth["cxr"]):
        name = clip["view"].lower() if "view" in clip else "ecg" if "qrs_ms" in clip else "cxr"
        path = SAMPLE / f"{name}.dcm"
        assert dcmread(path, stop_before_pixels=True).SOPInstanceUID == clip["sop_instance_uid"]
        assert dciodvfy_errors(path) == []
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 10_000_000
