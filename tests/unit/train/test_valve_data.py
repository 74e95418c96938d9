"""The valve's training data: boxes follow the image, classes are balanced, crops fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from train.datasets.phantom import Jitter
from train.datasets.valve import CropJitter, ValveCrops, ValveFrames, moved_box
from train.splits import split_of

SIDE = 320


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs on black, one patient in four calcified, a frame without a disc for each."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    frames: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for patient in range(24):
        frame = np.zeros((SIDE, SIDE), np.uint8)
        x, y, radius = rng.integers(110, 210), rng.integers(90, 200), rng.integers(20, 45)
        cv2.circle(frame, (int(x), int(y)), int(radius), 250, -1)
        box = np.array([x - radius, y - radius, x + radius + 1, y + radius + 1]) / SIDE
        frames += [frame, np.zeros_like(frame)]
        row = {"patient_id": patient, "calcified": patient % 4 == 0, "diastolic": True}
        rows += [row | {"box": box.tolist()}, row | {"box": None}]
    np.save(folder / "valve_frames.npy", np.stack(frames))
    (folder / "valve_index.json").write_text(json.dumps(rows))
    return folder


def lit_box(frame: np.ndarray) -> np.ndarray:
    ys, xs = np.nonzero(frame > 180)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@pytest.mark.parametrize("size", [160, 320, 640])
def test_boxes_follow_what_is_moved(cohort: Path, size: int) -> None:
    data = ValveFrames(cohort, "train", size, Jitter(0.1, 0.1, 0.1, 0.2, 15.0))
    seen: list[float] = []
    for draw in range(3):
        batch = data.batch(list(range(8)), np.random.default_rng(draw))
        for frame, box, present in zip(
            batch["frames"][:, 0], batch["box"], batch["present"], strict=True
        ):
            if not present:
                assert not box.any()
                continue
            assert np.abs(lit_box(frame) - box).max() < 4
            seen.append(float(box[2] - box[0]))
    assert max(seen) > 1.2 * min(seen)


def test_without_a_generator_frames_are_only_resized(cohort: Path) -> None:
    data = ValveFrames(cohort, "train", 640, Jitter(0.1, 0.1, 0.1, 0.2, 15.0))
    batch = data.batch([0, 1], None)
    wanted = np.array(data.row(0)["box"]) * 640
    assert np.allclose(batch["box"][0], wanted, atol=1e-3)
    assert np.abs(lit_box(batch["frames"][0, 0]) - wanted).max() <= 2
    assert batch["present"].tolist() == [True, False]
    assert batch["frames"].shape == (2, 1, 640, 640) and batch["frames"].dtype == np.uint8


def test_a_turned_round_valve_keeps_its_size() -> None:
    box = np.array([100.0, 120.0, 160.0, 180.0])
    for angle in (0.0, 17.0, 45.0, 90.0):
        matrix = cv2.getRotationMatrix2D((130.0, 150.0), angle, 1.5).astype(np.float64)
        assert moved_box(box, matrix) == pytest.approx([85.0, 105.0, 175.0, 195.0])
    flat = moved_box(
        np.array([0.0, 0.0, 40.0, 20.0]),
        cv2.getRotationMatrix2D((20.0, 10.0), 90.0, 1.0).astype(np.float64),
    )
    assert flat == pytest.approx([10.0, -10.0, 30.0, 30.0], abs=1e-9)


def test_training_crops_are_balanced_and_others_as_they_are(cohort: Path) -> None:
    train = ValveCrops(cohort, "train")
    calcified = train.batch(list(range(len(train))), None)["calcified"]
    assert calcified.mean() == pytest.approx(0.5)
    patients = [p for p in range(24) if split_of(p) == "train"]
    healthy = sum(p % 4 != 0 for p in patients)
    assert len(train) == 2 * healthy
    held = ValveCrops(cohort, "val")
    assert held.patient_ids == [p for p in range(24) if split_of(p) == "val"]


def test_crops_fill_the_frame_and_differ_in_training(cohort: Path) -> None:
    assert ValveCrops(cohort, "train", 112).batch([0], None)["crops"].shape == (1, 1, 112, 112)
    jitter = CropJitter(0.05, 0.1, 20.0, mirror=True)
    data = ValveCrops(cohort, "train", jitter=jitter, grey=Jitter(0.2, 0.2))
    plain = data.batch([0, 1], None)["crops"]
    assert plain.shape == (2, 1, 224, 224)
    lit = lit_box(plain[0, 0])
    assert lit[:2].max() <= 5 and lit[2:].min() >= 219
    assert plain.min() == 0
    drawn = [data.batch([0], np.random.default_rng(seed))["crops"] for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
