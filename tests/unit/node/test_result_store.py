"""Results are written once, and what a killed node left behind goes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from node.result_store import ResultStore
from node.results.structured_report import build_report
from tests.results_objects import header, lvef_result, report_context


def test_the_same_result_is_one_file_and_orphans_go(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, tmp_path / "results")
    source = header()
    made = [
        store.put(build_report(lvef_result(source), [source], report_context(name)), "sr", "lvef")
        for name in ("first", "first", "second")
    ]
    assert made[0] == made[1]
    kept, orphan = made[0], tmp_path / made[2].path
    part = orphan.with_name("0123.part")
    part.write_bytes(b"half")
    assert store.sweep({kept.sha256}) == 2
    assert not orphan.exists() and not part.exists()
    assert (tmp_path / kept.path).stat().st_size == kept.size_bytes
    assert store.sweep({kept.sha256}) == 0


def test_a_name_that_is_not_on_disk_yet_is_synced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path, tmp_path / "results")
    source = header()
    report = build_report(lvef_result(source), [source], report_context("first"))
    failures = 0
    fsync = os.fsync

    def fail_for_folders(fd: int) -> None:
        nonlocal failures
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            failures += 1
            raise OSError(errno.EIO, "EIO")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    for _ in range(2):
        with pytest.raises(OSError, match="EIO"):
            store.put(report, "sr", "lvef")
    assert failures == 2
    monkeypatch.setattr(os, "fsync", fsync)
    assert (tmp_path / store.put(report, "sr", "lvef").path).exists()
    assert list(tmp_path.rglob("*.part")) == []
