"""Keeps received instances on disk: first a part, then a durable blob named by its bytes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.errors import BadObjectError, StorageFailedError, StorageFullError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SPACE_CHECK_EVERY_BYTES = 16 << 20
#: Of a dataset; a header is rarely longer, and need not be read back from the file then.
_BEGINNING_BYTES = 128 << 10


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes on stable storage.

    Attributes
    ----------
    sha256
        Hex digest of the whole blob; also its name.
    """

    sha256: str
    size_bytes: int
    path: Path


class PartFile:
    """An instance that is being received; used by one thread at a time.

    It must end in :meth:`commit` or :meth:`discard`.

    Attributes
    ----------
    size_bytes
        What was written, with the head.
    head_bytes
        Where the dataset begins.
    beginning
        The dataset's first bytes, all of a small one.
    """

    def __init__(self, spool: Spool, path: Path, max_bytes: int) -> None:
        self.path = path
        self.size_bytes = 0
        self.head_bytes = 0
        self.beginning = bytearray()
        self._spool = spool
        self._max_bytes = max_bytes
        self._unchecked_bytes = 0
        self._digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with _naming_full_disks():
            self._fd: int | None = os.open(path, flags, 0o600)
        self._is_synced = False

    def write_head(self, head: bytes) -> None:
        """Write what comes before the dataset."""
        self.write(head)
        self.head_bytes = self.size_bytes
        self.beginning.clear()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes.

        Raises
        ------
        StorageFullError
            The disk is full or below its reserve.
        BadObjectError
            The instance is larger than is allowed.
        """
        if self._fd is None:
            raise ValueError("the part is closed")
        self.size_bytes += len(data)
        self._unchecked_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise BadObjectError(f"it is larger than {self._max_bytes} bytes")
        if self._unchecked_bytes >= _SPACE_CHECK_EVERY_BYTES:
            self._unchecked_bytes = 0
            self._spool.check_reserve()
        self._digest.update(data)
        if (room := _BEGINNING_BYTES - len(self.beginning)) > 0:
            self.beginning += data[:room]
        view = memoryview(data)
        with _naming_full_disks():
            while view:
                view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Bring the bytes to stable storage; nothing may be written afterwards.

        An error here loses the part: after a failed sync the kernel may have dropped the pages,
        so a second sync that succeeds would prove nothing.
        """
        if self._fd is None:
            return
        try:
            with _naming_full_disks():
                os.fdatasync(self._fd)
        except (OSError, StorageFullError):
            self.discard()
            raise
        self._close()
        self._is_synced = True

    def commit(self) -> StoredBlob:
        """Give the part its final name, durably."""
        self.sync()
        if not self._is_synced:
            raise ValueError("the part was discarded")
        sha256 = self._digest.hexdigest()
        target = self._spool.path_of(sha256)
        try:
            with _naming_full_disks():
                # A blob of that name has the same bytes, so replacing it changes nothing, and
                # syncing again covers a first copy whose rename is not yet on disk.
                self.path.rename(target)
                _sync_folder(target.parent)
        except (OSError, StorageFullError):
            self.discard()
            raise
        return StoredBlob(sha256, self.size_bytes, target)

    def discard(self) -> None:
        """Forget the part; harmless after :meth:`commit` and when repeated.

        A disk that fails to remove it leaves it to the next start's sweep: what the sender is
        told must not depend on that.
        """
        self._close()
        self._is_synced = False
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        # Closed once only, also when that fails: the number may be another file's by then.
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # What counts is the sync.
                os.close(fd)


class Spool:
    """The spool folders of one node.

    Parameters
    ----------
    data_dir
        The node's directory; parts and blobs lie under ``spool``.
    reserve_bytes
        Free space that is kept for the ledger, results and delivery.
    max_object_bytes
        Largest instance that is taken.
    part_prefix
        Begins the names of our parts, where several processes share the folders.
    """

    def __init__(
        self,
        data_dir: Path,
        reserve_bytes: int,
        max_object_bytes: int = 4 << 30,
        part_prefix: str = "",
    ) -> None:
        self._in = data_dir / "spool" / "in"
        self._obj = data_dir / "spool" / "obj"
        self._reserve_bytes = reserve_bytes
        self.max_object_bytes = max_object_bytes
        self._part_prefix = part_prefix
        for folder in (self._in, *(self._obj / f"{first:02x}" for first in range(256))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._obj, self._obj.parent, data_dir):
            _sync_folder(folder)

    def begin(self) -> PartFile:
        """Open a part with a random name.

        Raises
        ------
        StorageFullError
            The disk is below its reserve.
        """
        self.check_reserve()
        name = f"{self._part_prefix}{secrets.token_hex(16)}.part"
        return PartFile(self, self._in / name, self.max_object_bytes)

    def path_of(self, sha256: str) -> Path:
        """Where the blob of that digest is or would be.

        Raises
        ------
        ValueError
            It is no digest; nothing else may become part of a path.
        """
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError("not a SHA-256 digest in hex")
        return self._obj / sha256[:2] / f"{sha256}.dcm"

    def free_bytes(self) -> int:
        """Free space on the spool's disk."""
        return shutil.disk_usage(self._in).free

    def check_reserve(self) -> None:
        """Raise StorageFullError when the disk is below its reserve."""
        if self.free_bytes() < self._reserve_bytes:
            raise StorageFullError

    def check_writable(self) -> None:
        """Write, sync and remove a part that means nothing.

        Raises
        ------
        StorageFullError
            The disk is full or below its reserve.
        StorageFailedError
            The disk can't be written, or its writes don't last.
        """
        try:
            part = self.begin()
            try:
                part.write(b"\0")
                part.sync()
            finally:
                part.discard()
        except OSError as error:
            raise StorageFailedError.of(error) from error

    def sweep(
        self,
        is_known: Callable[[str], bool] | None = None,
        older_than_s: float = 3600.0,
        now: Callable[[], float] = time.time,
    ) -> int:
        """Remove what a previous process left behind; call it before anything is received.

        Parts were never acknowledged. Blobs that the ledger doesn't know were not either; they go
        when they are old.

        Parameters
        ----------
        is_known
            Tells whether the ledger has a blob of that digest; None leaves all blobs.

        Returns
        -------
        int
            How many were removed.
        """
        removed = self.sweep_parts()
        if is_known is None:
            return removed
        oldest = now() - older_than_s
        for blob in self._obj.glob("??/*.dcm"):
            status = blob.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_mtime > oldest:
                continue
            if not is_known(blob.stem):
                blob.unlink()
                removed += 1
        return removed

    def sweep_parts(self, prefix: str = "") -> int:
        """Remove the parts of a process that is no more; returns how many."""
        removed = 0
        for part in self._in.glob(f"{prefix}*.part"):
            part.unlink(missing_ok=True)
            removed += 1
        return removed


@contextmanager
def _naming_full_disks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError from error
        raise


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
