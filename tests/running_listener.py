"""A running listener for tests, and what sends to it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE

from node.arrival.c_store import Listener
from node.arrival.identity import birth_key, patient_key
from node.arrival.spool import Spool
from node.config_listen import ListenSettings
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from node.metrics import Metrics
from tests.dicom_wire import (
    ASSOCIATE_AC,
    CT_IMAGE,
    IMPLICIT_LE,
    VERIFICATION,
    associate_rq,
    read_pdu,
)


@dataclass
class Recorder:
    """Stands for the ledger, and can be made slow or broken."""

    arrivals: list[tuple[Arrival, str | None]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def __call__(self, arrival: Arrival, reason: str | None) -> ArrivalOutcome:
        self.before()
        self.arrivals.append((arrival, reason))
        return ArrivalOutcome.STORED

    @property
    def sop_instance_uids(self) -> list[str]:
        return [arrival.sop_instance_uid for arrival, _ in self.arrivals]


@dataclass
class Node:
    """A running listener."""

    listener: Listener
    data_dir: Path
    recorder: Recorder
    spool: Spool
    metrics: Metrics

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address

    def metric(self, line: str) -> float:
        """The value in the exposition's line that begins with ``line``; 0 when there is none."""
        for each in self.metrics.exposition().decode().splitlines():
            if each.startswith(f"{line} "):
                return float(each.rpartition(" ")[2])
        return 0.0

    def parts(self) -> list[Path]:
        return list((self.data_dir / "spool" / "in").iterdir())

    def blobs(self) -> list[Path]:
        return list((self.data_dir / "spool" / "obj").glob("*/*"))

    def is_untouched(self) -> bool:
        return not (self.parts() or self.blobs() or self.recorder.arrivals)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=5.0)

    def associated(self, *contexts: str) -> socket.socket:
        """A connection with an association whose context ids are 1, 3, ..."""
        sock = self.connect()
        proposed = [(2 * at + 1, uid, [IMPLICIT_LE]) for at, uid in enumerate(contexts)]
        sock.sendall(associate_rq(proposed))
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        return sock

    def echo(self) -> bool:
        ae = AE()
        ae.acse_timeout = ae.dimse_timeout = 5.0
        ae.add_requested_context(VERIFICATION)
        assoc = ae.associate(*self.address)
        if not assoc.is_established:
            return False
        status = assoc.send_c_echo()
        assoc.release()
        return "Status" in status and status.Status == 0


@contextmanager
def running(
    tmp_path: Path,
    reserve_bytes: int = 0,
    max_object_bytes: int = 16 << 20,
    **settings: object,
) -> Iterator[Node]:
    """A listener with short deadlines; ``settings`` are those of ``[listen]``."""
    recorder = Recorder()
    spool = Spool(tmp_path, reserve_bytes, max_object_bytes)
    metrics = Metrics()
    listener = listener_for(spool, recorder, metrics, **settings)
    listener.start()
    try:
        yield Node(listener, tmp_path, recorder, spool, metrics)
    finally:
        listener.stop(drain_s=2.0)
        assert listener.association_count == 0


def listener_for(
    spool: Spool,
    record: Callable[[Arrival, str | None], ArrivalOutcome],
    meter: Metrics | None = None,
    **settings: object,
) -> Listener:
    """A listener that was not started, on a port of the system's choice."""
    # Port 0 is no setting that a site may have, and is not checked here.
    listen = ListenSettings().model_copy(
        update={"port": 0, "pdu_deadline_s": 1.5, "association_deadline_s": 1.5, **settings}
    )
    return Listener(
        listen,
        "CARDIONODE",
        spool,
        record,
        is_own=lambda header: header.sop_instance_uid.startswith("2.25.9"),
        patient_key=lambda patient, issuer: patient_key(b"site", patient, issuer),
        meter=meter,
        birth_key=lambda *who: birth_key(b"site", *who),
    )


def small_ds(sop_instance_uid: str, sop_class_uid: str = CT_IMAGE, patient: str = "P1") -> Dataset:
    """An instance without pixels."""
    ds = Dataset()
    ds.SOPClassUID = UID(sop_class_uid)
    ds.SOPInstanceUID = sop_instance_uid
    ds.StudyInstanceUID = "1.2.3.1"
    ds.SeriesInstanceUID = "1.2.3.2"
    ds.PatientID = patient
    ds.Modality = "CT"
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(IMPLICIT_LE)
    return ds


def send(
    address: tuple[str, int], *instances: Dataset, tls: ssl.SSLContext | None = None
) -> list[int]:
    """Store instances as ECHO1; the statuses of the answers."""
    ae = AE(ae_title="ECHO1")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10.0
    for ds in instances:
        ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    assoc = ae.associate(*address, tls_args=(tls, "localhost") if tls is not None else None)
    assert assoc.is_established
    statuses = []
    for ds in instances:
        status = assoc.send_c_store(ds)
        statuses.append(int(status.Status) if "Status" in status else -1)
    assoc.release()
    return statuses


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Look again and again until something is so; it fails after a while."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
