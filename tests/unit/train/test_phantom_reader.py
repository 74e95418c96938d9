"""The reader of the simulated cohort: shapes, starts, resizing, jitter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.view_net import VIEWS
from tests.tiny_cohort import write_tiny_cohort
from train.datasets.phantom import EjectionFractionClips, Jitter, ViewFrames


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_cohort(tmp_path_factory.mktemp("cohort"), patients=12)


def test_clips_take_every_second_frame(cohort: Path) -> None:
    data = EjectionFractionClips(cohort, "train")
    source = np.load(cohort / "ef_clips.npy")
    assert data.starts == 2
    batch = data.batch([0, 1], None, start=1)
    assert batch["clips"].shape == (2, 1, 32, 112, 112)
    np.testing.assert_array_equal(batch["clips"][0, 0], source[data.patient_ids[0]][1::2][:32])
    assert batch["borders"].shape == (2, 2, 20, 4)
    assert 0.1 < batch["ef"][0] < 0.8


def test_random_starts_are_drawn_and_repeat(cohort: Path) -> None:
    data = EjectionFractionClips(cohort, "train", size=32)
    drawn = [data.batch([0], np.random.default_rng(k))["clips"] for k in range(8)]
    assert drawn[0].shape == (1, 1, 32, 32, 32)
    assert len({d.tobytes() for d in drawn}) == 2
    np.testing.assert_array_equal(drawn[3], data.batch([0], np.random.default_rng(3))["clips"])


def test_grey_statistics_are_those_of_the_clips(cohort: Path) -> None:
    mean, std = EjectionFractionClips(cohort, "train").grey_statistics()
    clips = np.load(cohort / "ef_clips.npy")
    assert mean == pytest.approx(clips.mean(), abs=6)
    assert std == pytest.approx(clips.std(), abs=6)


def test_frames_and_their_views(cohort: Path) -> None:
    data = ViewFrames(cohort, "train", size=56)
    batch = data.batch(range(10), None)
    assert batch["frames"].shape == (10, 1, 56, 56)
    assert set(batch["view"].tolist()) == set(range(len(VIEWS)))
    assert len(data.clip_ids) == len(data) == len(data.patient_ids)


def test_jitter_changes_training_frames_only(cohort: Path) -> None:
    jitter = Jitter(gain=0.3, gamma=0.3, shift=0.05, scale=0.1, rotation_deg=8)
    data = ViewFrames(cohort, "train", jitter=jitter)
    plain = ViewFrames(cohort, "train").batch([0], None)["frames"]
    np.testing.assert_array_equal(data.batch([0], None)["frames"], plain)
    assert (data.batch([0], np.random.default_rng(0))["frames"] != plain).any()
    table = jitter.grey_table(np.random.default_rng(0))
    assert (np.diff(table.astype(int)) >= 0).all()
