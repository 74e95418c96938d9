"""A receiver as one writes it with pynetdicom in ten minutes; runs as a process of its own."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES


def save_as(event: evt.Event, folder: Path) -> int:
    """Parse the dataset and write it again, as pynetdicom's examples do; not durable."""
    ds = event.dataset
    ds.file_meta = event.file_meta
    ds.save_as(folder / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)
    return 0x0000


def save_bytes(event: evt.Event, folder: Path) -> int:
    """Write the bytes that came, and bring them to stable storage."""
    path = folder / f"{event.file_meta.MediaStorageSOPInstanceUID}.dcm"
    with path.open("wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    return 0x0000


def main(
    folder: Path,
    port: int,
    raw: Annotated[bool, typer.Option(help="Bytes, fsync and large PDUs.")] = False,
) -> None:
    """Listen until killed."""
    ae = AE("STOCK")
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    if raw:
        ae.maximum_pdu_size = 131072
    handler = save_bytes if raw else save_as
    ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handler, [folder])]
    )
    threading.Event().wait()


if __name__ == "__main__":
    typer.run(main)
