"""Keeps the result objects of the node: written once, durably, under their content address."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
from collections.abc import Collection
from pathlib import Path

from pydicom import Dataset, dcmread

from node.ledger.records import ObjectKind, StoredObject


class ResultStore:
    """The folder ``results`` of a data directory.

    Parameters
    ----------
    data_dir
        What stored paths are relative to.
    folder
        Inside `data_dir`.
    """

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self._data_dir = data_dir
        self._folder = folder

    def put(
        self, ds: Dataset, kind: ObjectKind, finding: str, instance_sop_uid: str | None = None
    ) -> StoredObject:
        """Write one result object; on return it is on stable storage.

        Parameters
        ----------
        ds
            With its file meta information.
        kind, finding
            What it is, and of which finding.
        instance_sop_uid
            The instance that a capture was made from.
        """
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        target = self._folder / digest[:2] / f"{digest}.dcm"
        if not target.exists():
            _write_durably(target, content)
        else:
            # Its name may not be on stable storage yet: a sync can have failed after the rename.
            _sync_folders(target)
        return StoredObject(
            kind=kind,
            finding=finding,
            sop_class_uid=str(ds.SOPClassUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            series_instance_uid=str(ds.SeriesInstanceUID),
            study_instance_uid=str(ds.StudyInstanceUID),
            series_number=int(ds.SeriesNumber),
            sha256=digest,
            size_bytes=len(content),
            path=str(target.relative_to(self._data_dir)),
            instance_sop_uid=instance_sop_uid,
        )

    def header(self, stored: StoredObject) -> Dataset:
        """Read an object without its pixels."""
        return dcmread(self._data_dir / stored.path, stop_before_pixels=True)

    def sweep(self, known: Collection[str]) -> int:
        """Remove what a killed node left behind: parts, and objects that no job finished with.

        Call it before any job runs; the job that made such an object will run again.

        Parameters
        ----------
        known
            Digests of the objects that the ledger holds.

        Returns
        -------
        How many were removed.
        """
        left = [path for path in self._folder.glob("??/*.dcm") if path.stem not in known]
        left += self._folder.glob("??/*.part")
        for path in left:
            path.unlink()
        return len(left)


def _write_durably(target: Path, content: bytes) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f"{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _sync_folders(target)


def _sync_folders(target: Path) -> None:
    for folder in (target.parent, target.parent.parent):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
