"""What must be so after a small node was disturbed and could finish in peace."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread

from node.data_dir import DataDir
from node.ledger.ledger import Ledger


@contextmanager
def told(what: object) -> Iterator[None]:
    """Say at which point a check failed."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"at {what}")
        raise


def visible(folder: Path) -> Counter[str]:
    """How often each object is at the destination, by its study and SOP Instance UID.

    The names of files tell the order of arrival, which faults may change.
    """
    return Counter(
        f"{path.parent.name} {dcmread(path, stop_before_pixels=True).SOPInstanceUID}"
        for path in (folder / "out").rglob("*.dcm")
    )


def stored(folder: Path) -> dict[str, int]:
    """How many rows the ledger has of each digest."""
    rows: dict[str, int] = {}
    with Ledger.open(DataDir(folder / "var").ledger, read_only=True) as ledger:
        for row in ledger.recent_studies(10_000):
            detail = ledger.study(row.study_uid)
            assert detail is not None
            for instance in detail.instances:
                rows[instance.row.sha256] = rows.get(instance.row.sha256, 0) + 1
    return rows


def check_blobs(folder: Path, digests: Sequence[str] | Mapping[str, int]) -> None:
    """Each digest's bytes are there, whole."""
    objects = DataDir(folder / "var").spool_obj
    for digest in digests:
        content = (objects / digest[:2] / f"{digest}.dcm").read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest


def check(folder: Path, acknowledged: Mapping[str, str], reference: Counter[str]) -> None:
    """Everything acknowledged is there, nothing is visible twice, and no part is left."""
    rows = stored(folder)
    assert set(acknowledged.values()) <= set(rows)
    assert set(rows.values()) == {1}
    check_blobs(folder, rows)
    assert visible(folder) == reference
    assert list(folder.rglob("*.part")) == []
