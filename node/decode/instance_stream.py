"""An opened instance that never reads, or allocates, more than there is."""

from __future__ import annotations

import io
import os
from pathlib import Path


class InstanceStream(io.BufferedReader):
    """A file whose reads end at its end.

    A length of 4 GB in a header of 300 bytes would make Python allocate 4 GB before it reads.

    Parameters
    ----------
    path
        The instance.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, or all that is left."""
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))
