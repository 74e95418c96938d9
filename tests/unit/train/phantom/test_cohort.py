"""A cohort on disk: what was simulated is what training reads, and a killed one is no cohort."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from train.datasets.phantom import EjectionFractionClips, ViewFrames
from train.phantom.clip import VIEWS, render_clip
from train.phantom.cohort import write_cohort
from train.phantom.parts import PARTS
from train.phantom.parts.base import CohortPlan
from train.phantom.patient import draw_patient
from train.splits import SPLITS

ROOT = Path(__file__).parents[4]
SEED = 5


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, ticks = tmp_path_factory.mktemp("cohort"), []
    plan = CohortPlan(patients=3, seed=SEED, view_frames=2, processes=1)
    write_cohort(folder, plan, ("ef", "view"), lambda: ticks.append(1))
    assert len(ticks) == 6
    return folder


def test_training_reads_every_clip_with_its_truth(cohort: Path) -> None:
    seen = []
    for split in SPLITS:
        clips = EjectionFractionClips(cohort, split)
        for position, patient_id in enumerate(clips.patient_ids):
            batch = clips.batch([position], None)
            assert batch["clips"].shape == (1, 1, 32, 112, 112)
            truth = draw_patient(patient_id, SEED)
            assert batch["ef"][0] == pytest.approx(truth.ejection_fraction, abs=1e-6)
            assert 0 < batch["borders"].min() < batch["borders"].max() < 1
            seen.append(patient_id)
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


def test_training_reads_every_frame_with_its_view(cohort: Path) -> None:
    views: list[int] = []
    for split in SPLITS:
        frames = ViewFrames(cohort, split)
        if len(frames):
            views += frames.batch(range(len(frames)), None)["view"].tolist()
    assert np.bincount(views).tolist() == [6] * len(VIEWS)


def test_arrays_hold_what_the_seed_decides(cohort: Path) -> None:
    clip = render_clip(draw_patient(1, SEED), "A2C", SEED, 64)
    again = PARTS["ef"].render(1, CohortPlan(3, SEED)).arrays["clips"]
    np.testing.assert_array_equal(np.load(cohort / "ef_clips.npy")[2:4], again)
    assert not np.array_equal(again[1], clip.frames)  # of another sampling
    row = json.loads((cohort / "ef_index.json").read_text())[3]
    assert (row["patient_id"], row["view"]) == (1, "A2C")
    assert row["frame_time_ms"] == clip.frame_time_ms
    assert (clip.cycle.contraction[row["ed_frames"]] < 0.02).all()
    assert (clip.cycle.contraction[row["es_frames"]] > 0.98).all()
    people = json.loads((cohort / "patients.json").read_text())
    assert [p["patient_id"] for p in people] == [0, 1, 2]


def test_a_cohort_that_failed_half_way_is_no_cohort(cohort: Path, tmp_path: Path) -> None:
    # It had been complete: the index of what is overwritten must not outlive its array.
    shutil.copytree(cohort, tmp_path, dirs_exist_ok=True)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path, CohortPlan(3, SEED + 1, processes=1), ("ef",), stop)
    assert (tmp_path / "ef_clips.npy").exists()
    with pytest.raises(FileNotFoundError):
        EjectionFractionClips(tmp_path, "train")
    ViewFrames(tmp_path, "train")


def test_a_killed_cohort_is_no_cohort(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from train.phantom import cohort\n"
        "if __name__ == '__main__':\n"
        "    cohort.write_cohort(Path(sys.argv[1]), cohort.CohortPlan(500, processes=1), ('ef',))\n"
    )
    script, out = tmp_path / "write.py", tmp_path / "out"
    script.write_text(code)
    writer = subprocess.Popen(
        [sys.executable, script, out],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "ef_clips.npy").exists():
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
    with pytest.raises(FileNotFoundError):
        EjectionFractionClips(out, "train")
