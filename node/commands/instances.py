"""Finds DICOM instances on disk and brings them into a node, as a sender would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from node.arrival.intake import Intake, StoreStatus
from node.arrival.part10 import MAX_HEAD_BYTES, read_head
from node.errors import BadObjectError, StorageFullError

_MEANINGS = {
    StoreStatus.SOP_CLASS_NOT_SUPPORTED: "its SOP class is not supported",
    StoreStatus.OUT_OF_RESOURCES: "it could not be stored: the disk is full or failed",
    StoreStatus.DATASET_MISMATCH: "its dataset is another instance than its head says",
    StoreStatus.CANNOT_UNDERSTAND: "it has no dataset",
}


@dataclass(frozen=True, slots=True)
class Found:
    """An instance on disk.

    Attributes
    ----------
    problem
        Why it was not taken; empty when it was.
    """

    path: Path
    sop_instance_uid: str = ""
    problem: str = ""


def find_instances(paths: Iterable[Path]) -> list[Path]:
    """All that may be DICOM: the files that are named, and those in folders that look like it."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        found += [p for p in inside if _looks_like_dicom(p)]
    return found


def take_in(path: Path, intake: Intake) -> Found:
    """Store one instance by the same steps as over the network."""
    try:
        with path.open("rb") as stream:
            uid = read_head(stream.read(MAX_HEAD_BYTES)).sop_instance_uid
        status = intake.take_file(path, "")
    except (BadObjectError, StorageFullError) as error:
        return Found(path, problem=str(error))
    except OSError as error:
        return Found(path, problem=f"it can't be read: {error.strerror}")
    return Found(path, uid, _MEANINGS.get(status, ""))


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
