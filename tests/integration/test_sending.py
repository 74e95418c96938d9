"""Sending to a peer that behaves in every way a PACS can (reliability catalogue, case 78)."""

from __future__ import annotations

import gc
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels import pixel_array  # type: ignore[attr-defined]
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage as CaptureStorage
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE

from node.ledger.records import StoredObject
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendOutcome, SendState
from tests.sending_objects import capture, report

ALL_SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
]


@dataclass
class Pacs:
    """A peer that notes what it receives and answers what it is told."""

    statuses: list[int] = field(default_factory=list)
    received: list[Dataset] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    associations: int = 0
    port: int = 0
    delay: threading.Event | None = None

    def on_store(self, event: evt.Event) -> int:
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if self.delay is not None:
            self.delay.wait(10)
        ds = event.dataset
        ds.file_meta = event.file_meta
        self.received.append(ds)
        request: Any = event.request
        self.raw.append(request.DataSet.getvalue())
        return status

    def on_accepted(self, event: evt.Event) -> None:
        self.associations += 1


Start = Callable[..., Pacs]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Any] = []

    def _start(
        handlers: list[Any] | None = None,
        classes: tuple[UID, ...] = (
            Comprehensive3DSRStorage,
            ComprehensiveSRStorage,
            CaptureStorage,
        ),
        syntaxes: list[UID] | None = None,
        pacs: Pacs | None = None,
        **settings: Any,
    ) -> Pacs:
        pacs = pacs if pacs is not None else Pacs()
        ae = AE(ae_title="PACS")
        for sop_class in classes:
            ae.add_supported_context(sop_class, syntaxes or ALL_SYNTAXES)
        for name, value in settings.items():
            setattr(ae, name, value)
        server: Any = ae.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, pacs.on_store),
                (evt.EVT_ACCEPTED, pacs.on_accepted),
                *(handlers or []),
            ],
        )
        servers.append(server)
        pacs.port = server.server_address[1]
        return pacs

    yield _start
    for server in servers:
        server.shutdown()


def sender(pacs: Pacs, timeout_s: float = 5.0, **options: Any) -> closing[CStoreSender]:
    return closing(
        CStoreSender(Peer("127.0.0.1", pacs.port, "PACS", timeout_s), "CARDIONODE", **options)
    )


def send_report(pacs: Pacs, folder: Path, **options: Any) -> SendOutcome:
    with sender(pacs, **options) as to_pacs:
        stored = report(folder)
        return to_pacs.send(stored, folder / stored.path)


def test_objects_of_a_study_share_an_association_and_keep_their_bytes(
    start: Start, tmp_path: Path
) -> None:
    pacs = start()
    with sender(pacs) as to_pacs:
        for stored in (report(tmp_path, 1), capture(tmp_path, 2), report(tmp_path, 3)):
            assert to_pacs.send(stored, tmp_path / stored.path) == SendOutcome(SendState.SENT)
    assert pacs.associations == 1
    assert [str(ds.SOPInstanceUID) for ds in pacs.received] == [
        "2.25.1001.1",
        "2.25.1001.2",
        "2.25.1001.3",
    ]
    for ds, raw in zip(pacs.received, pacs.raw, strict=True):
        assert (tmp_path / f"{ds.SOPInstanceUID}.dcm").read_bytes().endswith(raw)


# pynetdicom leaves the socket of a failed connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_is_down_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        outcome = send_report(Pacs(port=held.getsockname()[1]), tmp_path)
    gc.collect()
    assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)


def test_a_peer_that_accepts_connections_only_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        outcome = send_report(Pacs(port=silent.getsockname()[1]), tmp_path, timeout_s=0.5)
    assert (outcome.state, outcome.reachable) == (SendState.TRANSIENT, False)


def test_a_title_the_peer_does_not_know_is_refused_for_good(start: Start, tmp_path: Path) -> None:
    pacs = start(require_calling_aet=["SOMEONE"])
    outcome = send_report(pacs, tmp_path)
    assert outcome == SendOutcome(
        SendState.PERMANENT, "association rejected: calling ae title not recognised", False
    )


def test_a_full_peer_rejects_for_now(start: Start, tmp_path: Path) -> None:
    def reject(event: evt.Event) -> None:
        event.assoc.acse.send_reject(0x02, 0x03, 0x02)
        event.assoc.kill()

    pacs = start(handlers=[(evt.EVT_REQUESTED, reject)])
    outcome = send_report(pacs, tmp_path)
    assert outcome.state is SendState.TRANSIENT
    assert outcome.note == "association rejected: local limit exceeded"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0xA700, SendState.TRANSIENT),
        (0xA900, SendState.PERMANENT),
        (0xC000, SendState.PERMANENT),
        (0x0122, SendState.PERMANENT),
        (0xB000, SendState.SENT),
    ],
)
def test_a_status_decides(start: Start, tmp_path: Path, status: int, state: SendState) -> None:
    pacs = start(pacs=Pacs(statuses=[status]))
    outcome = send_report(pacs, tmp_path)
    assert outcome.state is state
    assert outcome.reachable
    assert f"0x{status:04X}" in outcome.note


def test_no_answer_in_time_leaves_the_outcome_open(start: Start, tmp_path: Path) -> None:
    pacs = start(pacs=Pacs(delay=threading.Event()))
    assert pacs.delay is not None
    begin = time.monotonic()
    outcome = send_report(pacs, tmp_path, timeout_s=0.6)
    assert time.monotonic() - begin < 4
    assert outcome == SendOutcome(
        SendState.TRANSIENT, "the destination did not answer within 0.6 s"
    )
    pacs.delay.set()  # the answer comes after the timeout, to nobody
    assert send_report(pacs, tmp_path).state is SendState.SENT
    assert pacs.raw[0] == pacs.raw[-1]


def test_a_peer_that_closes_after_each_object_gets_them_all(start: Start, tmp_path: Path) -> None:
    def close(event: evt.Event) -> None:
        if isinstance(event.pdu, P_DATA_TF):
            threading.Thread(target=event.assoc.abort).start()

    pacs = start(handlers=[(evt.EVT_PDU_SENT, close)])
    with sender(pacs) as to_pacs:
        for instance in range(1, 7):
            stored = report(tmp_path, instance)
            assert to_pacs.send(stored, tmp_path / stored.path).state is SendState.SENT
    assert {str(ds.SOPInstanceUID) for ds in pacs.received} == {
        f"2.25.1001.{instance}" for instance in range(1, 7)
    }


def test_a_response_to_another_message_is_not_believed(start: Start, tmp_path: Path) -> None:
    def lie(event: evt.Event) -> None:
        event.message.command_set.MessageIDBeingRespondedTo += 7

    outcome = send_report(start(handlers=[(evt.EVT_DIMSE_SENT, lie)]), tmp_path)
    assert outcome.state is SendState.TRANSIENT
    assert "another message" in outcome.note


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_a_capture_is_transcoded_where_jpeg_is_refused(
    start: Start, tmp_path: Path, syntax: UID
) -> None:
    pacs = start(syntaxes=[syntax])
    stored = capture(tmp_path)
    with sender(pacs) as to_pacs:
        assert to_pacs.send(stored, tmp_path / stored.path).state is SendState.SENT
    (ds,) = pacs.received
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.SOPInstanceUID == stored.sop_instance_uid
    assert (ds.PhotometricInterpretation, ds.LossyImageCompression) == ("RGB", "01")
    frames = pixel_array(ds)
    assert frames.shape == (3, 48, 64, 3)
    red = frames[1, 24, 24].astype(int)
    assert red[0] > 190
    assert red[1] < 60


def test_a_wish_for_explicit_captures_is_met(start: Start, tmp_path: Path) -> None:
    pacs = start()
    stored = capture(tmp_path)
    with sender(pacs, capture_transfer_syntax="explicit_le") as to_pacs:
        assert to_pacs.send(stored, tmp_path / stored.path).state is SendState.SENT
    assert pacs.received[0].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_a_report_is_refused_or_sent_in_the_older_class(start: Start, tmp_path: Path) -> None:
    pacs = start(classes=(ComprehensiveSRStorage, CaptureStorage))
    outcome = send_report(pacs, tmp_path)
    assert outcome.state is SendState.PERMANENT
    assert "sr_sop_class" in outcome.note
    assert send_report(pacs, tmp_path, sr_sop_class="comprehensive").state is SendState.SENT
    (ds,) = pacs.received
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == ComprehensiveSRStorage


def test_a_peer_that_accepts_nothing_refuses_for_good(start: Start, tmp_path: Path) -> None:
    pacs = start(classes=(UID("1.2.840.10008.5.1.4.1.1.2"),))
    assert send_report(pacs, tmp_path).state is SendState.PERMANENT


def test_our_socket_does_not_wait_for_more_to_send(start: Start, tmp_path: Path) -> None:
    with sender(start()) as to_pacs:
        stored = report(tmp_path)
        to_pacs.send(stored, tmp_path / stored.path)
        assert to_pacs._line._assoc is not None
        transport = to_pacs._line._assoc.dul.socket
        assert transport is not None
        assert transport.socket is not None
        assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        answer = to_pacs._line._assoc.acceptor.primitive
        assert isinstance(answer, A_ASSOCIATE)


def test_a_damaged_object_is_not_sent(start: Start, tmp_path: Path) -> None:
    stored = report(tmp_path)
    (tmp_path / stored.path).write_bytes(b"no DICOM")
    with sender(start()) as to_pacs:
        assert to_pacs.send(stored, tmp_path / stored.path).state is SendState.PERMANENT


# ---- Orthanc


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[tuple[int, int]]:
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("needs: orthanc")
    dicom_port, http_port = _free_port(), _free_port()
    home = tmp_path / "orthanc"
    home.mkdir()
    (home / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(home / "db"),
                "IndexDirectory": str(home / "db"),
                "DicomAet": "ORTHANC",
                "DicomPort": dicom_port,
                "HttpPort": http_port,
                "RemoteAccessAllowed": False,
                "Plugins": [],
            }
        )
    )
    with subprocess.Popen(
        [program, str(home / "orthanc.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    _get(http_port, "/system")
                    break
                except OSError:
                    time.sleep(0.2)
            yield dicom_port, http_port
        finally:
            process.terminate()


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_orthanc_takes_reports_and_captures(orthanc: tuple[int, int], tmp_path: Path) -> None:
    dicom_port, http_port = orthanc
    objects: list[StoredObject] = [report(tmp_path, 1), capture(tmp_path, 2)]
    with closing(CStoreSender(Peer("127.0.0.1", dicom_port, "ORTHANC"), "CARDIONODE")) as to_pacs:
        for stored in [*objects, *objects]:
            assert to_pacs.send(stored, tmp_path / stored.path).state is SendState.SENT
    assert len(_get(http_port, "/instances")) == 2
    assert np.array_equal(
        sorted(
            each["MainDicomTags"]["SOPInstanceUID"] for each in _get(http_port, "/instances?expand")
        ),
        sorted(stored.sop_instance_uid for stored in objects),
    )
