"""The data directory: its folders, its lock, its key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.data_dir import DataDir
from node.errors import DataDirInUseError

_HOLD = """
import sys, time
from pathlib import Path
from node.data_dir import DataDir
DataDir(Path(sys.argv[1])).lock_exclusive()
sys.stdout.write("locked\\n")
sys.stdout.flush()
time.sleep(60)
"""


def test_lock_makes_the_folders_for_their_owner_only(tmp_path: Path) -> None:
    with DataDir(tmp_path / "var") as data_dir:
        folders = (data_dir.spool_in, data_dir.spool_obj, data_dir.work, data_dir.results)
        for folder in folders:
            assert folder.is_dir()
            assert folder.stat().st_mode & 0o077 == 0
        assert data_dir.ledger.parent == tmp_path / "var"
        assert (tmp_path / "var").stat().st_mode & 0o077 == 0


def test_looking_at_a_data_dir_changes_nothing(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / "var")
    assert not data_dir.ledger.exists()
    assert not (tmp_path / "var").exists()


def test_a_second_node_in_this_process_is_refused_until_release(tmp_path: Path) -> None:
    first, second = DataDir(tmp_path), DataDir(tmp_path)
    first.lock_exclusive()
    first.lock_exclusive()
    with pytest.raises(DataDirInUseError, match="Another node"):
        second.lock_exclusive()
    first.release()
    first.release()
    with second:
        pass


def test_a_killed_node_does_not_keep_its_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        text=True,
    ) as other:
        if other.stdout is None:
            pytest.fail("no pipe")
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(DataDirInUseError):
            DataDir(tmp_path).lock_exclusive()
        other.kill()
        other.wait()
    with DataDir(tmp_path):
        pass


def test_site_key_is_made_once_and_is_secret(tmp_path: Path) -> None:
    with DataDir(tmp_path) as data_dir:
        key = data_dir.site_key()
        assert len(key) == 32
        assert DataDir(tmp_path).site_key() == key
        assert (tmp_path / "site.key").stat().st_mode & 0o077 == 0
