"""The spool: blobs are named by their bytes, whole, private, and never written over."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.arrival.spool import PartFile, Spool, StoredBlob
from node.errors import BadObjectError, StorageFailedError, StorageFullError


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, reserve_bytes=0, max_object_bytes=1 << 20)


def parts(data_dir: Path) -> list[Path]:
    return list((data_dir / "spool" / "in").iterdir())


def store(spool: Spool, data: bytes) -> StoredBlob:
    part = spool.begin()
    part.write(data)
    return part.commit()


def test_a_blob_is_named_by_its_bytes(spool: Spool, tmp_path: Path) -> None:
    part = spool.begin()
    part.write_head(b"head")
    part.write(b"one")
    part.write(b"two")
    assert part.head_bytes == 4
    assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
    blob = part.commit()

    digest = hashlib.sha256(b"headonetwo").hexdigest()
    assert blob == StoredBlob(digest, 10, spool.path_of(digest))
    relative = Path("spool", "obj", digest[:2], f"{digest}.dcm")
    assert blob.path == tmp_path / relative
    assert blob.path.read_bytes() == b"headonetwo"
    assert parts(tmp_path) == []


def test_the_same_bytes_are_one_blob_also_at_the_same_time(spool: Spool, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        blobs = set(pool.map(lambda _: store(spool, b"same" * 1000), range(16)))
    assert len(blobs) == 1
    assert len(list((tmp_path / "spool" / "obj").glob("*/*"))) == 1
    assert parts(tmp_path) == []


def test_discard_removes_the_part_and_may_be_repeated(spool: Spool, tmp_path: Path) -> None:
    part = spool.begin()
    part.write(b"x")
    part.discard()
    part.discard()
    assert parts(tmp_path) == []
    with pytest.raises(ValueError, match="discarded"):
        part.commit()
    with pytest.raises(ValueError, match="closed"):
        part.write(b"y")


def test_discard_after_commit_leaves_the_blob(spool: Spool) -> None:
    part = spool.begin()
    part.write(b"x")
    blob = part.commit()
    part.discard()
    assert blob.path.exists()


def test_too_large(spool: Spool) -> None:
    part = spool.begin()
    with pytest.raises(BadObjectError):
        part.write(b"\0" * ((1 << 20) + 1))
    part.discard()


def test_nothing_begins_below_the_reserve(tmp_path: Path) -> None:
    spool = Spool(tmp_path, reserve_bytes=1 << 62)
    with pytest.raises(StorageFullError):
        spool.begin()
    assert parts(tmp_path) == []


def test_a_long_write_stops_below_the_reserve(tmp_path: Path) -> None:
    free = [1 << 30, 0]
    spool = Spool(tmp_path, reserve_bytes=1000)
    spool.free_bytes = lambda: free.pop(0)  # type: ignore[method-assign]
    part = spool.begin()
    with pytest.raises(StorageFullError):
        part.write(b"\0" * (16 << 20))
    part.discard()


def fail_with(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


def commit(part: PartFile) -> None:
    part.commit()


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFullError), (errno.EIO, OSError)]
)
def test_a_failed_sync_loses_the_part_and_is_not_repeated(
    spool: Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[Exception],
) -> None:
    part = spool.begin()
    part.write(b"x")
    monkeypatch.setattr(os, call, fail_with(number))
    with pytest.raises(error):
        part.commit()
    assert parts(tmp_path) == []
    with pytest.raises(ValueError, match="discarded"):
        part.commit()


def test_a_start_whose_folders_are_not_synced_fails_and_the_next_one_syncs_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, synced = os.fsync, []
    monkeypatch.setattr(os, "fsync", fail_with(errno.EIO))
    with pytest.raises(OSError, match="error"):
        Spool(tmp_path, reserve_bytes=0)

    def count(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", count)
    spool = Spool(tmp_path, reserve_bytes=0)  # who made the folders may have died before its sync
    assert synced == [tmp_path / "spool" / "obj", tmp_path / "spool", tmp_path]
    assert store(spool, b"x").path.exists()


@pytest.mark.parametrize(
    ("call", "number", "error"),
    [
        ("fdatasync", errno.EIO, StorageFailedError),
        ("open", errno.EROFS, StorageFailedError),
        ("open", errno.EMFILE, StorageFailedError),
        ("write", errno.ENOSPC, StorageFullError),
    ],
)
def test_whether_it_can_be_written_is_tried(
    spool: Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[Exception],
) -> None:
    spool.check_writable()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail_with(number))
        with pytest.raises(error):
            spool.check_writable()
    spool.check_writable()
    assert parts(tmp_path) == []


def test_a_full_disk_has_its_own_error(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    part = spool.begin()
    monkeypatch.setattr(os, "write", fail_with(errno.ENOSPC))
    with pytest.raises(StorageFullError):
        part.write(b"x")
    part.discard()


@dataclass
class Calls:
    """The order of the system calls that matter."""

    names: list[str] = field(default_factory=list)

    def watch(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        for name in names:
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, original: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            self.names.append(name)
            return original(*given, **named)

        return call


def test_a_blob_has_its_name_only_when_its_bytes_are_safe(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = spool.begin()
    part.write(b"x")
    calls = Calls()
    calls.watch(monkeypatch, "rename", "fdatasync", "fsync", "mkdir")
    part.commit()
    assert calls.names == ["fdatasync", "rename", "fsync"]


def test_the_beginning_is_at_hand(spool: Spool) -> None:
    part = spool.begin()
    part.write_head(b"head")
    for _ in range(40):
        part.write(memoryview(b"0123456789" * 1000))
    assert len(part.beginning) == 128 << 10
    assert bytes(part.beginning[:20]) == b"0123456789" * 2
    part.discard()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 62 + "/."])
def test_only_digests_become_paths(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        spool.path_of(name)


def test_sweep_removes_parts_and_old_unknown_blobs(spool: Spool, tmp_path: Path) -> None:
    known, unknown = store(spool, b"known"), store(spool, b"unknown")
    spool.begin().write(b"left behind")
    fresh_s = known.path.stat().st_mtime
    assert spool.sweep() == 1
    assert spool.sweep({known.sha256}.__contains__, 3600.0, lambda: fresh_s + 60) == 0
    assert spool.sweep({known.sha256}.__contains__, 3600.0, lambda: fresh_s + 7200) == 1
    assert known.path.exists()
    assert not unknown.path.exists()
    assert parts(tmp_path) == []
