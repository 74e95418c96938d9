"""The simulated stenosis: what the long axis draws, and the frames that are learnt from."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from train.datasets.phantom import Jitter
from train.datasets.stills import StenosisStills
from train.phantom.heart_cycle import draw_cycle
from train.phantom.parts.base import CohortPlan
from train.phantom.parts.stenosis import (
    FRAMES,
    OPEN,
    StenosisPart,
    draw_frames,
)
from train.phantom.patient import draw_patient
from train.phantom.sampling import draw_resolution
from train.phantom.shapes import draw_levels
from train.phantom.valve import AorticValve, Focus
from train.phantom.views.aortic_valve_long import LongAxisValve
from train.phantom.views.parasternal import LongAxisView
from train.splits import split_of

HEALTHY = AorticValve(3.4, "none", 1.0, 0.13, 0.0, 0.0, ())
SEVERE = AorticValve(0.7, "severe", 0.22, 0.3, 0.8, 0.0, ())
FOCUS = Focus(leaflet=2, along=0.5, radius_cm=0.2, gain_db=10.0, shadow_db=12.0)
ROOT, FORWARD, DOWN = np.array([1.0, 6.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0])


def valve(state: AorticValve) -> LongAxisValve:
    levels = draw_levels(np.random.default_rng(1))
    return LongAxisValve(state, levels, np.random.default_rng(2))


def gap(state: AorticValve, opening: float) -> float:
    """Distance between the tips of the two cusps, cm."""
    upper, lower = (valve(state).leaflet(sign, 3.0, opening) for sign in (-1.0, 1.0))
    return float(lower[-1, 1] - upper[-1, 1])


def test_a_severe_valve_opens_less() -> None:
    assert gap(HEALTHY, 1.0) == pytest.approx(0.76 * 3.0)
    assert gap(SEVERE, 1.0) == pytest.approx(0.22 * gap(HEALTHY, 1.0))
    assert gap(HEALTHY, 0.0) == gap(SEVERE, 0.0) == 0.0


def test_drawn_leaflets_are_thicker_and_brighter() -> None:
    def area(points: np.ndarray) -> float:
        x, y = points.T
        return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)

    healthy, severe = (
        valve(state).shapes(ROOT, FORWARD, DOWN, 3.0, 0.0) for state in (HEALTHY, SEVERE)
    )
    assert len(healthy) == len(severe) == 2
    assert area(severe[0].points) / area(healthy[0].points) == pytest.approx(0.3 / 0.13, rel=0.1)
    assert severe[0].level_db > healthy[0].level_db


def test_a_doming_valve_bows_around_its_tips() -> None:
    leaflet = valve(SEVERE).leaflet(1.0, 3.0, 1.0)
    straight = np.linspace(leaflet[0], leaflet[-1], len(leaflet))
    assert (leaflet - straight)[4, 1] > 0.25
    flat = valve(replace(SEVERE, doming=0.0)).leaflet(1.0, 3.0, 1.0)
    assert np.abs(np.diff(flat, 2, axis=0)).max() < 1e-9


def test_calcium_sits_on_its_cusp_and_casts_a_shadow() -> None:
    calcified = replace(HEALTHY, foci=(FOCUS, replace(FOCUS, leaflet=0, shadow_db=5.0)))
    shapes = valve(calcified).shapes(ROOT, FORWARD, DOWN, 3.0, 0.5)
    lower, upper = shapes[2:]
    assert (lower.shadow_db, upper.shadow_db) == (12.0, 5.0)
    assert lower.level_db == pytest.approx(shapes[0].level_db + 10.0)
    assert lower.points[:, 1].mean() > ROOT[1] > upper.points[:, 1].mean()
    cusp = shapes[1].points
    assert np.linalg.norm(cusp - lower.points.mean(0), axis=1).min() < 0.3


def test_the_long_axis_view_shows_the_patient_s_valve() -> None:
    patient = draw_patient(3, 1)
    cycle = draw_cycle(60, 20.0, patient.heart_rate_bpm, np.random.default_rng(0))
    open_frame = int(cycle.aortic_opening.argmax())

    def spread(state: AorticValve) -> float:
        rng = np.random.default_rng(5)
        view = LongAxisView(replace(patient, valve=state), draw_levels(rng), rng)
        upper, lower = view.scene(cycle, open_frame).shapes[-2:]
        return float(np.linalg.norm(lower.points[8] - upper.points[8]))

    assert spread(HEALTHY) > 2.0 * spread(SEVERE)


def test_half_of_the_frames_show_an_open_valve_and_sampling_is_random() -> None:
    rng = np.random.default_rng(1)
    cycle = draw_cycle(64, 20.0, 70.0, rng)
    chosen = draw_frames(cycle, 6, rng)
    assert all(a < b for a, b in pairwise(chosen))
    assert (cycle.aortic_opening[chosen] >= OPEN).sum() == 3
    short = draw_cycle(12, 20.0, 70.0, np.random.default_rng(1))
    assert short.aortic_opening.max() < OPEN
    assert len(draw_frames(short, 6, rng)) == 6
    drawn = [draw_resolution(rng) for _ in range(200)]
    assert min(r.depths for r in drawn) >= 120 and max(r.depths for r in drawn) <= 400
    assert min(r.beams for r in drawn) >= 90 and max(r.beams for r in drawn) <= 220
    assert np.median([r.depths for r in drawn]) < 220  # mostly coarse: fine ones take long


def test_a_patient_s_rows_repeat_and_know_the_truth() -> None:
    part, plan = StenosisPart(), CohortPlan(1, seed=4)
    rendered = part.render(0, plan)
    spec = part.arrays(plan)["frames"]
    assert rendered.arrays["frames"].shape == (spec.rows_per_patient, *spec.shape)
    assert [row["view"] for row in rendered.rows] == [
        v for v, n in FRAMES.items() for _ in range(n)
    ]
    truth = draw_patient(0, 4).valve
    assert {row["grade"] for row in rendered.rows} == {truth.grade}
    assert len({row["clip"] for row in rendered.rows}) == len(FRAMES)
    for row in rendered.rows:
        if row["view"] != "PSAX":
            assert (row["valve_at"] is not None) == (row["view"] == "PLAX")
    assert np.array_equal(part.render(0, plan).arrays["frames"], rendered.arrays["frames"])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    grades = ("none", "mild", "moderate", "severe")
    rows = [
        {
            "patient_id": p,
            "view": view,
            "clip": 2 * p + k,
            "grade": grades[p % 4],
            "area_cm2": 1.5,
            "aortic_opening": float(n),
            "valve_at": [0.59, 0.38] if view == "PLAX" else None,
        }
        for p in range(40)
        for k, view in enumerate(("PLAX", "A4C"))
        for n in range(2)
    ]
    frames = np.random.default_rng(1).integers(0, 255, (len(rows), 112, 112), dtype=np.uint8)
    np.save(folder / "stenosis_frames.npy", frames)
    (folder / "stenosis_index.json").write_text(json.dumps(rows))
    return folder


def test_stills_have_two_answers(cohort: Path) -> None:
    data = StenosisStills(cohort, "train", 64)
    batch = data.batch(range(len(data)), None)
    assert batch["frames"].shape == (len(data), 1, 64, 64)
    assert batch["area"].tolist() == [1.5] * len(data)
    for patient, ill, severe in zip(
        data.patient_ids, batch["stenosis"], batch["severity"], strict=True
    ):
        assert split_of(patient) == "train"
        assert (ill, severe) == [(0, -1), (1, 0), (1, 0), (1, 1)][patient % 4]


def test_frames_with_the_valve_are_kept_and_some_of_the_rest(cohort: Path) -> None:
    whole, thin = (StenosisStills(cohort, "train", others_every=n) for n in (1, 4))
    assert thin.views.count("PLAX") == whole.views.count("PLAX")
    assert thin.views.count("A4C") == -(-whole.views.count("A4C") // 4)


def test_the_first_lesson_is_the_open_valve_at_full_resolution(cohort: Path) -> None:
    whole, lesson = (StenosisStills(cohort, "val", n, lesson=n < 112) for n in (112, 48))
    assert set(lesson.views) == {"PLAX"}
    assert 4 * len(lesson) == len(whole)
    frame = whole.batch([1], None)["frames"][0, 0]  # the second of its clip is open
    piece = lesson.batch([0], None)["frames"][0, 0]
    assert np.array_equal(piece, frame[19:67, 42:90])  # 48 around .38, .59
    moved = lesson.batch([0] * 20, np.random.default_rng(1))["frames"]
    assert moved.shape == (20, 1, 48, 48)
    assert len({piece.tobytes() for piece in moved}) > 10


def test_jitter_is_drawn_only_in_training(cohort: Path) -> None:
    data = StenosisStills(cohort, "val", jitter=Jitter(gain=0.3, rotation_deg=5.0))
    plain = data.batch([0], None)["frames"]
    assert np.array_equal(plain, data.batch([0], None)["frames"])
    assert not np.array_equal(plain, data.batch([0], np.random.default_rng(1))["frames"])


def test_the_valve_s_place_moves_with_its_frame(cohort: Path, tmp_path: Path) -> None:
    rows = json.loads((cohort / "stenosis_index.json").read_text())
    frames = np.zeros((len(rows), 112, 112), np.uint8)
    frames[:, 40:45, 64:69] = 255  # around .59, .38
    np.save(tmp_path / "stenosis_frames.npy", frames)
    (tmp_path / "stenosis_index.json").write_text(json.dumps(rows))
    jitter = Jitter(shift=0.1, scale=0.2, rotation_deg=20.0)
    for size, lesson in ((112, False), (56, False), (48, True)):
        data = StenosisStills(tmp_path, "train", size, jitter, lesson=lesson)
        shown = [at for at, view in enumerate(data.views) if view == "PLAX"][:20]
        batch = data.batch(shown, np.random.default_rng(2))
        for frame, at in zip(batch["frames"][:, 0], batch["valve_at"], strict=True):
            row, column = np.average(np.argwhere(frame), axis=0, weights=frame[frame > 0])
            assert (np.array([column, row]) + 0.5) / size == pytest.approx(at, abs=0.025)
    others = [
        at for at, view in enumerate(StenosisStills(tmp_path, "train").views) if view != "PLAX"
    ]
    assert np.isnan(StenosisStills(tmp_path, "train").batch(others, None)["valve_at"]).all()
