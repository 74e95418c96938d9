"""Writes results into a folder, one subfolder per study, with a picture beside each capture."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import cv2
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from node.ledger.records import StoredObject
from node.sending.outcome import SendOutcome, permanent, sent, transient
from node.sending.transcode import frame_rgb

# A study's UID comes from outside: it must not be able to lead out of the folder.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_NAME = re.compile(r"[a-z0-9_]+")


class FolderSender:
    """Writes ``<study uid>/<series number>_<finding>_<sr|capture>.dcm``.

    A name that another instance has already gets ``_2``, ``_3`` ... in the order of sending; an
    instance that is sent again keeps its name. Files appear whole or not at all.

    Parameters
    ----------
    path
        The folder; it is made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, stored: StoredObject, path: Path) -> SendOutcome:
        """Write one object, and for a capture its middle frame as PNG."""
        if not (_UID.fullmatch(stored.study_instance_uid) and _NAME.fullmatch(stored.finding)):
            return permanent("the study's UID or the finding's name can't be a file name")
        try:
            folder = self._path / stored.study_instance_uid
            folder.mkdir(parents=True, exist_ok=True)
            target = _place_for(folder, stored)
            content = path.read_bytes()
            picture = _picture(path) if stored.kind == "capture" else None
            # The picture first: whoever sees the object finds its picture beside it.
            if picture is not None:
                _write_whole(target.with_suffix(".png"), picture)
            _write_whole(target, content)
        except OSError as error:
            return transient(f"can't write: {os.strerror(error.errno or 0)}", reachable=False)
        except (InvalidDicomError, ValueError, AttributeError) as error:
            return permanent(f"the stored object can't be read: {type(error).__name__}")
        return sent()

    def close(self) -> None:
        """Do nothing: a folder holds no connection."""


def _place_for(folder: Path, stored: StoredObject) -> Path:
    stem = f"{stored.series_number}_{stored.finding}_{stored.kind}"
    target, number = folder / f"{stem}.dcm", 1
    while target.exists() and _instance_in(target) != stored.sop_instance_uid:
        number += 1
        target = folder / f"{stem}_{number}.dcm"
    return target


def _instance_in(path: Path) -> str | None:
    try:
        ds = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
    except InvalidDicomError:
        return None
    return str(ds.get("SOPInstanceUID", ""))


def _picture(path: Path) -> bytes:
    ds: Dataset = dcmread(path)
    count = int(ds.get("NumberOfFrames", 1) or 1)
    frame = frame_rgb(ds, (count - 1) // 2)  # the first of two pages
    encoded, png = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ValueError("the middle frame can't be written as PNG")
    return png.tobytes()


def _write_whole(target: Path, content: bytes) -> None:
    # Always the same name: a node that was killed here leaves at most this, until it tries again.
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as part:
            part.write(content)
            part.flush()
            os.fsync(part.fileno())
        temporary.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
