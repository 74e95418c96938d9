"""The folder destination: names that users rely on, nothing overwritten, nothing half-written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from node.sending.folder import FolderSender
from node.sending.outcome import SendState
from tests.sending_objects import STUDY_UID, capture, picture, report


def test_names_and_pictures(tmp_path: Path) -> None:
    out = FolderSender(tmp_path / "out")
    for stored in (report(tmp_path, 1), capture(tmp_path, 2)):
        assert out.send(stored, tmp_path / stored.path).state is SendState.SENT
    folder = tmp_path / "out" / STUDY_UID
    assert sorted(path.name for path in folder.iterdir()) == [
        "9001_ejection_fraction_capture.dcm",
        "9001_ejection_fraction_capture.png",
        "9001_ejection_fraction_sr.dcm",
    ]
    png = cv2.imread(str(folder / "9001_ejection_fraction_capture.png"))
    assert png is not None
    middle = cv2.cvtColor(png, cv2.COLOR_BGR2RGB)
    assert np.abs(middle.astype(int) - picture(1)).mean() < 4
    out.close()


def test_captures_of_one_finding_stand_side_by_side_and_resending_changes_nothing(
    tmp_path: Path,
) -> None:
    out = FolderSender(tmp_path / "out")
    objects = [capture(tmp_path, instance) for instance in (2, 3, 4)]
    for stored in [*objects, *reversed(objects)]:
        assert out.send(stored, tmp_path / stored.path).state is SendState.SENT
    folder = tmp_path / "out" / STUDY_UID
    stem = "9001_ejection_fraction_capture"
    assert sorted(path.name for path in folder.glob("*.dcm")) == [
        f"{stem}.dcm",
        f"{stem}_2.dcm",
        f"{stem}_3.dcm",
    ]
    assert [
        str(dcmread(folder / name).SOPInstanceUID)
        for name in (f"{stem}.dcm", f"{stem}_2.dcm", f"{stem}_3.dcm")
    ] == [stored.sop_instance_uid for stored in objects]
    assert len(list(folder.glob("*.png"))) == 3


def test_a_study_uid_can_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    stored = replace(report(tmp_path), study_instance_uid="../escape")
    outcome = FolderSender(tmp_path / "out").send(stored, tmp_path / stored.path)
    assert outcome.state is SendState.PERMANENT
    assert not (tmp_path / "escape").exists()


def test_a_folder_that_can_not_be_written_is_tried_again(tmp_path: Path) -> None:
    stored = report(tmp_path)
    blocker = tmp_path / "out"
    blocker.write_text("a file where the folder should be")
    outcome = FolderSender(blocker).send(stored, tmp_path / stored.path)
    assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    stored = report(tmp_path)
    outcome = FolderSender(tmp_path / "out").send(stored, tmp_path / stored.path)
    assert outcome.state is SendState.TRANSIENT
    assert list((tmp_path / "out" / STUDY_UID).iterdir()) == []
