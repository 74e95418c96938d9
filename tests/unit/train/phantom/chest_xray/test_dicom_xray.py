"""A simulated film as DICOM: valid, of the same person as the echo, and the node reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from models.inputs import Radiograph
from models.radiograph_quality import radiograph_problem
from node.decode.child import examine
from node.decode.scratch import Scratch
from tests.dicom_tools import dciodvfy_errors
from train.phantom.chest_xray.dicom_xray import write_film
from train.phantom.chest_xray.film import Projection, render_xray
from train.phantom.dicom_study import write_study
from train.phantom.patient import draw_patient

SEED, SIZE = 41, 512


@pytest.mark.parametrize("projection", ["PA", "AP", "LL"])
def test_valid_and_read_back(projection: Projection, tmp_path: Path) -> None:
    path = tmp_path / "film.dcm"
    truth = write_film(path, 2, SEED, projection, SIZE)
    assert truth["sop_instance_uid"] == dcmread(path).SOPInstanceUID
    assert dciodvfy_errors(path) == []
    scratch = Scratch(tmp_path / "scratch")
    try:
        decoded = examine(path, scratch, 64 << 20).decoded
        assert decoded is not None
        found = decoded.input
        assert isinstance(found, Radiograph)
        expected = render_xray(draw_patient(2, SEED), SEED, SIZE, projection)
        np.testing.assert_allclose(found.pixels, expected.pixels, atol=2e-4)
        assert (found.view_position, found.body_part) == (projection, "CHEST")
        assert found.pixel_spacing_mm is not None
        assert found.pixel_spacing_mm[0] == pytest.approx(10 * expected.pixel_cm, rel=1e-4)
        assert (radiograph_problem(found) is None) == (projection != "LL")
    finally:
        scratch.close()


def test_the_same_person_in_another_study(tmp_path: Path) -> None:
    write_film(tmp_path / "film.dcm", 2, SEED, size=128)
    write_study(tmp_path / "echo", 2, SEED, ("A4C",), 4)
    film, echo = dcmread(tmp_path / "film.dcm"), dcmread(tmp_path / "echo" / "a4c.dcm")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        assert film[keyword].value == echo[keyword].value
    assert film.StudyInstanceUID != echo.StudyInstanceUID
    assert film.SOPInstanceUID != echo.SOPInstanceUID
