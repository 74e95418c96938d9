"""The scratch file of one decoding: arrays that the child writes and the parent maps."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PAGE = mmap.ALLOCATIONGRANULARITY


class Scratch:
    """Arrays in one file, each on its own pages; nothing is created before the first array.

    Parameters
    ----------
    path
        The file; it must not exist, and is created readable for the owner only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._size = 0
        self._offsets: dict[int, int] = {}
        self._arrays: list[npt.NDArray[Any]] = []  # keeps the ids of the arrays theirs

    def allocate(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return a zeroed array in the file.

        Raises
        ------
        OSError
            There is no room for it: the pages are reserved, because writing to a mapping without
            room would kill the process.
        """
        array_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        span = max(-(-array_bytes // _PAGE), 1) * _PAGE
        if self._fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o600)
        os.posix_fallocate(self._fd, self._size, span)
        mapping = mmap.mmap(self._fd, span, offset=self._size)
        array: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=mapping)
        self._offsets[id(array)] = self._size
        self._arrays.append(array)
        self._size += span
        return array

    def offset_of(self, array: npt.NDArray[Any]) -> int:
        """Return where an array lies in the file; one from elsewhere is copied into it first."""
        if id(array) not in self._offsets:
            inside = self.allocate(array.shape, array.dtype)
            inside[...] = array
            return self._offsets[id(inside)]
        return self._offsets[id(array)]

    def close(self) -> None:
        """Close the file; its arrays stay usable until they are dropped."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._arrays.clear()
        self._offsets.clear()


class MappedScratch:
    """The parent's view of a finished scratch file, which is unlinked at once.

    Parameters
    ----------
    path
        The file; it may be missing when the child needed none.
    """

    def __init__(self, path: Path) -> None:
        self._mapping: mmap.mmap | None = None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            # Copy on write: the arrays may be written to and nothing reaches the file.
            if os.fstat(fd).st_size:
                self._mapping = mmap.mmap(fd, 0, access=mmap.ACCESS_COPY)
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)

    def array(self, offset: int, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """Return an array of the file.

        Raises
        ------
        ValueError
            It does not lie inside the file.
        """
        if self._mapping is None or offset < 0 or min(shape, default=1) < 0:
            raise ValueError("the array is not in the scratch file")
        try:
            return np.ndarray(shape, dtype, buffer=self._mapping, offset=offset)
        except TypeError as exc:  # numpy's word for a buffer that is too small
            raise ValueError("the array is not in the scratch file") from exc
