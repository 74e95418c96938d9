"""The command line of the phantom: DICOM studies and arrays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner, Result

from train.__main__ import app

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:.*pytree.*:FutureWarning"
)


def _run(command: str, out: Path, options: str = "") -> Result:
    return CliRunner().invoke(app, [command, "--out", str(out), *options.split()])


def test_studies_are_folders_with_instances_and_truth(tmp_path: Path) -> None:
    options = "--patients 2 --seed 3 --first 40 --part A4C --part PLAX --part ECG --frames 4"
    run = _run("studies", tmp_path, options)
    assert run.exit_code == 0, run.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["patient-0040", "patient-0041"]
    studies = set()
    for folder in tmp_path.iterdir():
        assert sorted(p.name for p in folder.iterdir()) == [
            "a4c.dcm",
            "ecg.dcm",
            "plax.dcm",
            "truth.json",
        ]
        truth = json.loads((folder / "truth.json").read_text())
        assert (f"patient-{truth['patient_id']:04d}", truth["seed"]) == (folder.name, 3)
        echo, ecg = dcmread(folder / "a4c.dcm"), dcmread(folder / "ecg.dcm")
        assert echo.NumberOfFrames == 4
        assert echo.PatientID == ecg.PatientID
        assert truth["ecg"]["sop_instance_uid"] == ecg.SOPInstanceUID
        studies.add(truth["study_instance_uid"])
    assert len(studies) == 2


def test_an_unknown_image_is_refused(tmp_path: Path) -> None:
    run = _run("studies", tmp_path / "out", "--part A5C")
    assert run.exit_code == 2
    assert "A5C" in run.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("command", "taught"), [("studies", "truth.json"), ("phantom", "studies")])
def test_help_teaches(command: str, taught: str) -> None:
    run = CliRunner().invoke(app, [command, "--help"])
    assert run.exit_code == 0
    assert taught in run.output


def test_arrays_are_written_as_before(tmp_path: Path) -> None:
    run = _run("phantom", tmp_path, "--patients 1 --processes 1 --part view --view-frames 1")
    assert run.exit_code == 0, run.output
    names = {"patients.json", "view_frames.npy", "view_index.json"}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    run = _run("phantom", tmp_path, "--part mri")
    assert run.exit_code == 2
