"""Sends with DCMTK's storescu, as machines do: many instances in one association."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.receive.corpus import Sent
from tests.dicom_tools import tool

_WITHIN_S = 900.0
# Explicit VR little endian, and for cines JPEG baseline: what the files are in.
_PROPOSES = {"echo": "-xy"}


class NotTakenError(Exception):
    """A sender could not send everything; the text says why."""


def send(
    instances: Sequence[Sent], corpus: str, address: tuple[int, str], senders: int, *, nagle: bool
) -> float:
    """Send instances with several senders at once, each its share.

    Parameters
    ----------
    address
        Port of this machine, and the AE title that is called.
    nagle
        Whether the senders leave Nagle's algorithm on, as DCMTK does as Debian ships it.

    Returns
    -------
    Seconds from the first sender's start to the last one's end.

    Raises
    ------
    NotTakenError
        Something was refused, or the receiver was gone.
    """
    port, ae_title = address
    environment = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    if not nagle:
        environment["TCP_NODELAY"] = "1"
    options = ["-R", _PROPOSES.get(corpus, "-xe"), "-pdu", "131072", "-aec", ae_title, "-td", "300"]
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        running = [
            subprocess.Popen(
                [tool("storescu"), *options, "127.0.0.1", str(port), *share],
                env=environment, stdout=said, stderr=said,
            )
            for share in _shares(instances, senders)
        ]  # fmt: skip
        try:
            failed = [each for each in running if each.wait(_WITHIN_S)]
        finally:
            for each in running:
                each.kill()
        took_s = time.perf_counter() - began
        if failed:
            said.seek(0)
            raise NotTakenError(said.read().decode(errors="replace")[:400].strip() or "no reason")
    return took_s


def read_ahead(instances: Sequence[Sent]) -> None:
    """Have the files in memory, so that no sender waits for the disk."""
    for each in instances:
        Path(each.path).read_bytes()


def _shares(instances: Sequence[Sent], senders: int) -> list[list[str]]:
    paths = [each.path for each in instances]
    return [paths[at::senders] for at in range(senders)]
