"""The sector is found on real instances and on drawn ones with the known traps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import generate_frames

from models.inputs import Box, ClipWindow
from models.preprocess import (
    Sector,
    clip_starts,
    fit_sector,
    resample,
    square_window,
    window_frames,
)

Frames = npt.NDArray[np.uint8]
ROOT = Path(__file__).parents[3]


def _jpeg_cine(name: str) -> Frames:
    ds = dcmread(ROOT / "sample_dicom" / name)
    encoded = generate_frames(ds.PixelData, number_of_frames=int(ds.NumberOfFrames))
    grey = [cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_GRAYSCALE) for f in encoded]
    return np.array(grey, np.uint8)


def _drawn_fan(gap: bool = False, frames: int = 1) -> tuple[Frames, npt.NDArray[np.bool_]]:
    """A speckled fan with apex (200, 20), 45 degrees to each side, radius 250, text and a bar."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:300, :400]
    dx, dy = columns - 200, rows - 20
    radius, angle = np.hypot(dx, dy), np.degrees(np.arctan2(dx, dy))
    fan = (radius < 250) & (radius > 15) & (np.abs(angle) < 40)
    lit = fan & ~(gap & (np.abs(radius - 120) < 10))
    cine = np.where(lit, rng.gamma(2.0, 25.0, (frames, 300, 400)), 0).clip(0, 255)
    cine = cine.astype(np.uint8)
    for frame in cine:
        cv2.putText(frame, "Gen THI MI 1.4 TIS 0.7", (5, 15), cv2.FONT_HERSHEY_PLAIN, 1.0, 255, 1)
        frame[100:200, 385:393] = np.linspace(255, 20, 100, dtype=np.uint8)[:, None]
    return cine, fan


def _overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_real_cine() -> None:
    sector = fit_sector(_jpeg_cine("echo_a4c_sonosite_30f_small.dcm"))
    assert sector is not None
    assert sector.is_fan
    # The full-size instance declares its region as 84..595 x 31..414; this is half of it.
    found = np.array([sector.box.x0, sector.box.y0, sector.box.x1, sector.box.y1])
    assert np.abs(found - np.array([42, 16, 298, 207])).max() <= 7


def test_sector_cut_by_the_image_with_an_ecg_inside() -> None:
    ecg = Box(40, 178, 74, 211)
    sector = fit_sector(_jpeg_cine("echo_apical_agilent_10f.dcm"), Box(0, 0, 240, 216), ecg)
    assert sector is not None
    assert sector.is_fan
    assert not sector.mask[ecg.y0 : ecg.y1, ecg.x0 : ecg.x1].any()
    assert sector.box.width > 220


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("frames", [1, 8])
def test_drawn_fan(gap: bool, frames: int) -> None:
    cine, truth = _drawn_fan(gap, frames)
    sector = fit_sector(cine)
    assert sector is not None
    assert sector.is_fan
    assert _overlap(sector.mask, truth) > 0.93


def test_a_rectangle_is_no_fan() -> None:
    rng = np.random.default_rng(0)
    frame = np.zeros((1, 300, 400), np.uint8)
    frame[0, 40:260, 80:320] = rng.integers(20, 120, (220, 240))
    sector = fit_sector(frame)
    assert sector is not None
    assert not sector.is_fan
    assert sector.is_rectangle
    assert abs(sector.box.width - 240) < 8


def test_a_fan_that_shows_its_middle_only_is_neither() -> None:
    frame = np.zeros((1, 300, 400), np.uint8)
    cv2.ellipse(frame[0], (200, 160), (70, 110), 0, 0, 360, 60, -1)
    sector = fit_sector(frame)
    assert sector is not None
    assert not sector.is_rectangle


@pytest.mark.parametrize("grey", [0, 70])
def test_an_empty_instance_has_no_sector(grey: int) -> None:
    frame = np.full((3, 200, 300), grey, np.uint8)
    cv2.putText(frame[0], "NO SIGNAL", (20, 100), cv2.FONT_HERSHEY_PLAIN, 1.0, 255, 1)
    assert fit_sector(frame) is None


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 80),
    columns=st.integers(1, 80),
    frames=st.integers(1, 5),
    seed=st.integers(0, 99),
    region=st.none() | st.tuples(*[st.integers(-20, 100)] * 4),
)
def test_no_input_breaks_the_fit(
    rows: int, columns: int, frames: int, seed: int, region: tuple[int, int, int, int] | None
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (frames, rows, columns), dtype=np.uint8)
    sector = fit_sector(noise, Box(*region) if region else None)
    if sector is not None:
        assert sector.mask.shape == (rows, columns)
        assert resample(noise, square_window(sector), sector.mask).shape == (frames, 112, 112)


def test_window_is_square_and_may_leave_the_image() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[10:90, 40:100] = True
    window = square_window(Sector(Box(40, 10, 100, 90), mask, is_fan=True))
    assert window.box == Box(30, 10, 110, 90)
    out = resample(np.full((2, 100, 100), 200, np.uint8), window, mask)
    assert out.shape == (2, 112, 112)
    assert out[:, :, :12].max() == 0  # left of the mask
    assert out[:, :, -12:].max() == 0  # beyond the image
    assert out[:, 20:90, 20:90].min() == 200


def test_resampling_agrees_with_the_window_s_coordinates() -> None:
    frame = np.zeros((1, 300, 300), np.uint8)
    frame[0, 200:204, 120:124] = 255
    window = ClipWindow(Box(20, 50, 244, 274), 112)
    row, column = np.argwhere(resample(frame, window)[0] > 100).mean(0)
    back = window.to_source(np.array([column + 0.5, row + 0.5]))
    np.testing.assert_allclose(back, [122, 202], atol=1e-6)


def test_clips_of_a_cine() -> None:
    assert clip_starts(64) == [0, 1]
    assert clip_starts(63) == [0]
    assert clip_starts(10) == [0]
    assert clip_starts(120, stride=20) == [0, 20, 40]
    frames = np.arange(1, 121, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    clip, valid = window_frames(frames, 3)
    assert (valid, clip[0, 0, 0], clip[31, 0, 0]) == (32, 4, 66)
    clip, valid = window_frames(frames[:20], 0)
    assert valid == 10
    assert clip[10:].max() == 0
