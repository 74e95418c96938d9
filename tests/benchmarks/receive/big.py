"""One large instance to the node: what it needs in memory for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tests.benchmarks.receive.corpus import Sent, make_big
from tests.benchmarks.receive.process_tree import watched
from tests.benchmarks.receive.senders import send
from tests.benchmarks.receive.station import Station

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class BigObject:
    """What it took.

    Attributes
    ----------
    size_mb
        Of the instance's pixels.
    before_mb, peak_mb
        Memory of the node's processes, before and at most until it had answered.
    is_whole
        Whether the node has every byte of it.
    """

    size_mb: float
    seconds: float
    before_mb: float
    peak_mb: float
    is_whole: bool

    @property
    def sentence(self) -> str:
        """For the page."""
        return (
            f"{self.size_mb:.0f} MB in {self.seconds:.1f} s: "
            f"{self.before_mb:.0f} MB of memory before, {self.peak_mb:.0f} MB at most until the "
            f"answer ({self.peak_mb - self.before_mb:+.0f} MB); "
            f"{'every byte is there' if self.is_whole else 'BYTES ARE MISSING'}."
        )


def measure_big(node: Station, folder: Path, size_bytes: int) -> BigObject:
    """Send one large instance.

    Raises
    ------
    NotTakenError
        The node did not take it.
    """
    instance = make_big(folder, size_bytes)
    address = (node.port, node.receiver.ae_title)
    with node.awake():
        with watched(node.pid) as usage:
            seconds = send([instance], "big", address, 1, nagle=False)
        kept = max(node.folder.rglob("*.dcm"), key=lambda path: path.stat().st_size)
        whole = _same_pixels(instance, kept)
    return BigObject(
        size_bytes / 1e6, seconds, usage.before_bytes / 1e6, usage.peak_bytes / 1e6, whole
    )


def _same_pixels(instance: Sent, kept: Path) -> bool:
    """Compare the last bytes of the files: the pixels are the last element of both."""
    if kept.stat().st_size < instance.payload_bytes:
        return False
    sent = _tail(Path(instance.path), instance.payload_bytes)
    return all(
        ours == theirs for ours, theirs in zip_longest(sent, _tail(kept, instance.payload_bytes))
    )


def _tail(path: Path, count: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(-count, 2)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
