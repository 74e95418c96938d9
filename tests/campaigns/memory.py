"""How much memory processes use in the course of a campaign, as numbers and as a picture."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

_MIB = 1 << 20
_WIDTH, _HEIGHT, _MARGIN = 960, 540, 70
#: Until here caches fill and pools grow.
_WARM_UP = 0.3


@dataclass
class MemoryCurve:
    """Resident memory against work done.

    Attributes
    ----------
    work, mib
        Pairs, in the order of their measurement.
    """

    work: list[int] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def measure(self, work: int, pids: Sequence[int]) -> None:
        """Add what processes use together, shared pages counted in parts.

        Pages of files are left out: they are the system's, and other programs share them.
        """
        self.work.append(work)
        self.mib.append(sum(map(_anonymous_bytes, pids)) / _MIB)

    @property
    def mib_per_1000(self) -> float:
        """Slope of the line through what came after the warm-up, in MiB per 1,000 of work."""
        first = int(len(self.work) * _WARM_UP)
        if len(self.work) - first < 3:
            return 0.0
        slope, _ = np.polyfit(self.work[first:], self.mib[first:], 1)
        return float(slope) * 1000.0

    def draw(self, path: Path, title: str) -> None:
        """Write a PNG."""
        picture = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
        least = 0.9 * min(self.mib)
        span = max(max(self.mib) * 1.1 - least, 1.0)
        x = _MARGIN + (_WIDTH - 2 * _MARGIN) * np.array(self.work) / max(self.work[-1], 1)
        y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (np.array(self.mib) - least) / span
        for share in np.linspace(0, 1, 6):
            height = int(_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * share)
            cv2.line(picture, (_MARGIN, height), (_WIDTH - _MARGIN, height), (225, 225, 225), 1)
            _text(picture, f"{least + span * share:.0f} MiB", (6, height + 4))
            place = int(_MARGIN + (_WIDTH - 2 * _MARGIN) * share)
            _text(picture, f"{self.work[-1] * share:.0f}", (place - 16, _HEIGHT - _MARGIN + 22))
        line = np.stack([x, y], axis=1).astype(np.int32)
        cv2.polylines(picture, [line], False, (180, 80, 20), 2, cv2.LINE_AA)
        _text(picture, f"{title}: {self.mib_per_1000:+.3f} MiB per 1,000", (_MARGIN, 40), 0.6)
        cv2.imwrite(str(path), picture)


def _text(picture: np.ndarray, text: str, at: tuple[int, int], size: float = 0.45) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (40, 40, 40), 1, cv2.LINE_AA)


def _anonymous_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) << 10
    return 0


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  - gone ones need no names


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
