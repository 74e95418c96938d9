"""The node's directory on disk: where everything lies, and that one node has it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from node.errors import DataDirInUseError


class DataDir:
    """A data directory. Only :meth:`lock_exclusive` and :meth:`site_key` touch the disk.

    Parameters
    ----------
    path
        On a local disk: locks and the ledger are not safe on network file systems.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_fd: int | None = None

    @property
    def ledger(self) -> Path:
        """The ledger's SQLite file."""
        return self.path / "ledger.sqlite"

    @property
    def spool_in(self) -> Path:
        """Instances that are being received."""
        return self.path / "spool" / "in"

    @property
    def spool_obj(self) -> Path:
        """Received instances, by the digest of their bytes."""
        return self.path / "spool" / "obj"

    @property
    def work(self) -> Path:
        """Scratch that may be deleted whenever no node runs."""
        return self.path / "work"

    @property
    def results(self) -> Path:
        """The objects that the node made."""
        return self.path / "results"

    def lock_exclusive(self) -> None:
        """Make the directory and its parts, and take it for this process.

        The lock is an flock: the kernel drops it when the process ends, however it ends.

        Raises
        ------
        DataDirInUseError
            Another node has it.
        """
        if self._lock_fd is not None:
            return
        there = next(each for each in self.path.parents if each.is_dir())
        for folder in (self.path, self.spool_in, self.spool_obj, self.work, self.results):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise DataDirInUseError from error
        self._lock_fd = fd
        _sync(self.path / "spool")
        _sync(self.path)
        # Also the names of the folders that were made on the way to it.
        for folder in self.path.parents:
            with contextlib.suppress(PermissionError):  # It is somebody else's, and was there.
                _sync(folder)
            if folder == there:
                break

    def release(self) -> None:
        """Give the directory back; releasing twice is harmless."""
        fd, self._lock_fd = self._lock_fd, None
        if fd is not None:
            # Unlocking, not only closing: a forked child may still have the descriptor.
            fcntl.flock(fd, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):  # A disk's: the descriptor is gone all the same.
                os.close(fd)

    def __enter__(self) -> Self:
        self.lock_exclusive()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def site_key(self) -> bytes:
        """The secret of this node for keyed hashes of identities, 32 bytes; made when missing.

        Call it with the lock held.
        """
        path = self.path / "site.key"
        if not path.exists():
            part = path.with_suffix(".part")
            part.unlink(missing_ok=True)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            _sync(self.path)
        return path.read_bytes()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
