"""The aortic valve in short axis: shadows, boxes, foci, and the part of the cohort."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from train.phantom.clip import Resolution, render_clip
from train.phantom.heart_cycle import draw_cycle
from train.phantom.parts.base import CohortPlan
from train.phantom.parts.valve import SIZE, ValvePart
from train.phantom.patient import Patient, draw_patient
from train.phantom.shapes import Scene, Shape, draw_levels, ellipse, still
from train.phantom.ultrasound.beams import BeamFormer
from train.phantom.ultrasound.grid import PolarGrid
from train.phantom.ultrasound.machine import draw_machine
from train.phantom.views.aortic_valve_short import ShortAxisValve
from train.phantom.views.parasternal import ShortAxisView


def patient(calcified: bool) -> Patient:
    found = (draw_patient(number, 3) for number in range(100))
    return next(p for p in found if p.valve.calcified == calcified)


def echo_db(shadow_db: float) -> tuple[np.ndarray, PolarGrid]:
    rng = np.random.default_rng(4)
    machine = replace(draw_machine(rng, 12.0), reverberation_db=-120.0, noise_db=-120.0)
    grid = PolarGrid(machine, 160, 100)
    focus = Shape(ellipse((0.0, 5.0), (0.5, 0.3)), -3.0, shadow_db=shadow_db)
    return BeamFormer(grid, rng).form(Scene(-20.0, (focus,), still)), grid


def test_behind_a_calcification_it_is_darker_by_its_shadow() -> None:
    plain, grid = echo_db(0.0)
    shadowed, _ = echo_db(15.0)
    loss = plain - shadowed
    middle = np.abs(grid.points[..., 0]) < 0.1
    behind = middle & (grid.points[..., 1] > 6.0) & (grid.points[..., 1] < 8.0)
    before = middle & (grid.points[..., 1] < 4.0)
    beside = (np.abs(grid.points[..., 0]) > 2.5) & (grid.points[..., 1] > 6.0)
    assert loss[behind].mean() == pytest.approx(15.0, abs=3.0)
    assert np.abs(loss[before]).max() < 0.1
    assert np.abs(loss[beside]).mean() < 0.1


def test_shadows_add_up() -> None:
    grid = echo_db(0.0)[1]
    rng = np.random.default_rng(4)
    former = BeamFormer(grid, rng)
    shapes = [Shape(ellipse((0.0, z), (0.6, 0.3)), -3.0, shadow_db=6.0) for z in (4.0, 6.0)]
    one = former._levels(Scene(-20.0, tuple(shapes[:1]), still))[0]
    both = former._levels(Scene(-20.0, tuple(shapes), still))[0]
    far = (np.abs(grid.points[..., 0]) < 0.1) & (grid.points[..., 1] > 8.0)
    assert (one - both)[far].mean() == pytest.approx(6.0, abs=0.5)


def test_the_box_holds_the_ring_and_moves_with_it() -> None:
    heart = patient(calcified=True)
    clip = render_clip(heart, "PSAX", 3, 40, Resolution(64, 48, 112, 112), plane="aortic")
    assert clip.valve_boxes is not None and clip.valve_boxes.shape == (40, 4)
    width = (clip.valve_boxes[:, 2] - clip.valve_boxes[:, 0]) * clip.side_cm
    rng = np.random.default_rng(0)
    view = ShortAxisView(heart, draw_levels(rng), rng, "aortic")
    cycle = draw_cycle(40, 20.0, 70.0, rng)
    for frame in (0, 13, 30):
        outline = view.valve_outline(cycle, frame)
        ring = view.valve.shapes(*view._annulus(float(cycle.contraction[frame])), 0.0)[0].points
        assert (outline.min(0) < ring.min(0)).all() and (ring.max(0) < outline.max(0)).all()
    assert width.min() > 2.4 and width.max() < 4.8  # aortic roots of 2.4 to 3.6 cm with walls
    assert np.ptp(clip.valve_boxes[:, 1]) > 0
    assert render_clip(heart, "PSAX", 3, 2, plane="mitral").valve_boxes is None


def test_foci_lie_on_cusps_inside_the_ring_and_cast_shadows() -> None:
    heart = patient(calcified=True)
    rng = np.random.default_rng(1)
    valve = ShortAxisValve(heart.valve, draw_levels(rng), 0.3, rng)
    centre = np.array([1.0, 7.0])
    for opening in (0.0, 0.5, 1.0):
        casting = [s for s in valve.shapes(centre, 1.5, opening) if s.shadow_db > 0]
        assert len(casting) == len(heart.valve.foci)
        for shape in casting:
            assert np.linalg.norm(shape.points.mean(0) - centre) < 1.5
    healthy = ShortAxisValve(patient(calcified=False).valve, draw_levels(rng), 0.3, rng)
    assert all(s.shadow_db == 0 for s in healthy.shapes(centre, 1.5, 0.0))


def test_cusps_meet_in_the_centre_and_open_as_far_as_the_valve_allows() -> None:
    rng = np.random.default_rng(2)
    heart = patient(calcified=False)
    centre = np.zeros(2)
    for share in (0.3, 1.0):
        state = replace(heart.valve, opening_share=share)
        valve = ShortAxisValve(state, draw_levels(rng), 0.0, rng)
        shut = [s.points for s in valve.shapes(centre, 1.5, 0.0) if s.width_cm > 0]
        wide = [s.points for s in valve.shapes(centre, 1.5, 1.0) if s.width_cm > 0]
        assert len(shut) == len(wide) == 3
        assert max(np.linalg.norm(edge, axis=1).min() for edge in shut) < 0.05
        reach = [np.linalg.norm(edge[4]) for edge in wide]
        assert reach == pytest.approx([0.88 * 1.5 * share] * 3, rel=0.05)


def test_the_part_has_two_diastolic_frames_an_open_one_and_another_level() -> None:
    part, plan = ValvePart(), CohortPlan(4, seed=3)
    spec = part.arrays(plan)["frames"]
    rendered = part.render(1, plan)
    frames, rows = rendered.arrays["frames"], rendered.rows
    assert frames.shape == (spec.rows_per_patient, SIZE, SIZE) and len(rows) == 4
    assert [row["diastolic"] for row in rows[:3]] == [True, True, False]
    assert [row["plane"] == "aortic" for row in rows] == [True, True, True, False]
    assert rows[3]["box"] is None
    for row in rows[:3]:
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert (x1 - x0) == pytest.approx(y1 - y0, rel=0.02)  # round, and not stretched
        assert row["calcified"] == draw_patient(1, 3).valve.calcified
    # letterboxed: the crop touches both borders of one direction
    grey = (frames[0] == 114).all(axis=0) | (frames[0] == 114).all(axis=1)
    assert not grey.all()
