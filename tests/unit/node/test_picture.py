"""Pictures of results: over frames and films, and those that findings draw themselves."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from models.inputs import Box, Clip, ClipWindow, Radiograph, Recording, TypedInput, Waveform
from node.errors import InvalidResultError
from node.findings.base import Drawing, Explanation
from node.picture import displayed_frames, draw_capture
from node.results import codes
from node.results.uids import derive_uid
from node.results.validate import validate_result
from tests.dicom_tools import dciodvfy_errors
from tests.results_objects import ALGORITHM, CREATED_AT, DEVICE_UID, SAMPLES, header

ECG, FILM = SAMPLES / "ecg12_mortara_1000hz.dcm", SAMPLES / "cxr_pa_philips_j2k.dcm"
RECORDING = Recording((Waveform(np.zeros((12, 500), np.float32), ("I",) * 12, 500.0),))


def capture(source: TypedInput, shown: Explanation | Drawing, ds: Dataset) -> Dataset:
    """A capture, validated and read back from its bytes."""
    made = draw_capture(
        source, shown, ds, title="A finding", algorithm=ALGORITHM,
        sop_instance_uid=derive_uid("capture"), series_instance_uid=derive_uid("series"),
        series_number=9061, created_at=CREATED_AT, node_version="0.1.0", device_uid=DEVICE_UID,
    )  # fmt: skip
    validate_result(made)
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


def drawing(frames: int = 1, columns: int = 300) -> Drawing:
    picture = np.random.default_rng(0).integers(0, 255, (frames, 120, columns, 3))
    return Drawing(picture.astype(np.uint8), "STRIP 1", codes.GRADIENT_CLASS_ACTIVATION)


def errors(ds: Dataset, folder: Path) -> list[str]:
    path = folder / "capture.dcm"
    ds.save_as(path, enforce_file_format=True)
    return dciodvfy_errors(path)


def test_heat_over_a_film_is_drawn_at_a_screens_size(tmp_path: Path) -> None:
    rows, columns = 1955, 1841
    film = Radiograph(np.full((rows, columns), 0.5, np.float32))
    heat = np.zeros((1, 14, 14), np.float32)
    heat[0, :4, :4] = 1.0  # top left of the window
    window = ClipWindow(Box(400, 200, 1600, 1400), 224)
    corner = np.array([[1700.0, 1800.0], [1800.0, 1800.0], [1800.0, 1900.0]])
    shown = Explanation(heat, np.zeros(1), window, {0: corner}, "AS 63 %",
                        codes.GRADIENT_CLASS_ACTIVATION)  # fmt: skip
    made = capture(film, shown, header(FILM))
    assert made.NumberOfFrames == 1 and made.Rows > 1024 >= made.Columns  # the banner is below
    assert errors(made, tmp_path) == []
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == header(FILM).SOPInstanceUID
    picture, scale = made.pixel_array.astype(int), 1024 / rows
    picture = picture[0] if picture.ndim == 4 else picture

    def coloured(row: float, column: float) -> int:
        pixel = picture[round(row * scale), round(column * scale)]
        return int(pixel.max() - pixel.min())

    assert coloured(300, 500) > 40  # hot
    assert coloured(1300, 1500) < 20 and coloured(100, 100) < 20  # cold, and outside
    assert coloured(1800, 1750) > 60  # the outline


def test_a_small_film_keeps_its_size() -> None:
    frames, scale = displayed_frames(Radiograph(np.linspace(0, 1, 6).reshape(2, 3)))  # type: ignore[arg-type]
    assert frames.shape == (1, 2, 3, 3) and scale == 1.0
    assert (frames[0, 0, 0, 0], frames[0, 1, 2, 0]) == (0, 255)


@pytest.mark.parametrize("columns", [300, 301])
def test_an_ecg_is_shown_as_the_finding_draws_it(columns: int, tmp_path: Path) -> None:
    made = capture(RECORDING, drawing(columns=columns), header(ECG))
    assert errors(made, tmp_path) == []
    source = header(ECG)
    (named,) = made.ReferencedInstanceSequence
    assert named.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.Modality != "ECG"  # viewers look for no picture there
    assert "SourceImageSequence" not in made


def test_an_ecg_has_no_frames_to_draw_over() -> None:
    shown = Explanation(
        np.zeros((1, 2, 2), np.float32), np.zeros(1), ClipWindow(Box(0, 0, 2, 2), 2), {}, "x",
        codes.GRADIENT_CLASS_ACTIVATION,
    )  # fmt: skip
    with pytest.raises(InvalidResultError, match="no frames"):
        capture(RECORDING, shown, header(ECG))


@pytest.mark.parametrize(
    ("frames", "pointer"), [(30, "FrameTime"), (2, "PageNumberVector"), (1, None)]
)
def test_a_drawing_of_every_frame_keeps_their_timing(
    frames: int, pointer: str | None, tmp_path: Path
) -> None:
    grey = np.zeros((30, 8, 8), np.uint8)
    clip = Clip(grey, np.zeros((30, 8, 8, 3), np.uint8), 33.0 * np.arange(30, dtype=np.float64))
    made = capture(clip, drawing(frames), header())
    assert errors(made, tmp_path) == []
    assert made.NumberOfFrames == frames
    if pointer is None:
        assert "FrameIncrementPointer" not in made
    else:
        assert pointer in made
    if pointer == "PageNumberVector":
        assert list(made.PageNumberVector) == [1, 2]
