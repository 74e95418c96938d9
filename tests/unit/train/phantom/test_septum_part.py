"""The cohort's septum part: strips of one simulated patient, with a flash that can be measured."""

from __future__ import annotations

import numpy as np
import pytest

from models.virtual_m_mode import OFFSETS, SEPTUM_SHARE
from train.phantom.parts.base import CohortPlan, Rendered
from train.phantom.parts.septum import SeptumPart
from train.splits import split_of

PLAN = CohortPlan(patients=3, seed=13)
PATIENT = 2  # trained on, a flash of 6 mm


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    assert split_of(PATIENT) == "train"
    return SeptumPart().render(PATIENT, PLAN)


def test_each_patient_has_eleven_strips_of_both_variants(rendered: Rendered) -> None:
    specs = SeptumPart().arrays(PLAN)
    assert set(rendered.arrays) == set(specs) == {"cropped", "whole"}
    for name, spec in specs.items():
        assert rendered.arrays[name].shape == (spec.rows_per_patient, *spec.shape)
    assert [row["offset"] for row in rendered.rows] == list(OFFSETS)
    assert {row["borders"] for row in rendered.rows} == {"true, displaced"}
    cropped, whole = rendered.arrays["cropped"][5], rendered.arrays["whole"][5]
    quarter = whole[:128, :128].astype(float)
    reduced = cropped.reshape(128, 2, 128, 2).mean((1, 3))
    assert np.corrcoef(quarter.ravel(), reduced.ravel())[0, 1] > 0.98


def test_cycle_goes_from_r_to_r_and_has_enough_frames(rendered: Rendered) -> None:
    row = rendered.rows[5]
    start, end = row["cycle_ms"]
    assert 500 < end - start < 1300
    assert (end - start) / row["frame_time_ms"] >= 30


def test_flash_is_in_the_strip_where_and_when_it_was_drawn(rendered: Rendered) -> None:
    row, strip = rendered.rows[5], rendered.arrays["cropped"][5].astype(np.float64)
    assert row["has_flash"] and row["flash_cm"] > 0.5
    rows = (np.arange(256) + 0.5) / 512  # shares of the line
    near = np.abs(rows - SEPTUM_SHARE) < 1.5 * row["band"]
    part = strip[near]
    weight = np.clip(part - np.quantile(part, 0.4), 0, None) ** 2
    middle = (weight * rows[near, None]).sum(0) / weight.sum(0)
    x0, y0, x1, y1 = row["line"]
    depth_cm = middle * float(np.hypot(x1 - x0, y1 - y0)) * row["side_cm"]
    ms = (np.arange(256) + 0.5) / 512 * (row["cycle_ms"][1] - row["cycle_ms"][0])
    early = ms < 180
    peak = int(depth_cm[early].argmax())
    assert 50 < ms[peak] < 130
    dip = depth_cm[peak] - depth_cm[:4].mean()
    assert dip == pytest.approx(row["flash_cm"], rel=0.35)
