"""The listener against real senders and real attackers."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context

from node.arrival.identity import IMPLEMENTATION_CLASS_UID
from node.arrival.negotiation import is_storage_class
from node.arrival.part10 import read_head
from node.arrival.prescan import DEFLATED
from node.arrival.spool import Spool
from node.errors import ConfigurationError
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    IMPLICIT_LE,
    P_DATA,
    VERIFICATION,
    associate_rq,
    dataset,
    p_data,
    pdu,
    read_pdu,
    status_of,
    store_command,
)
from tests.running_listener import (
    Node,
    Recorder,
    listener_for,
    running,
    send,
    small_ds,
    wait_until,
)

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted([*ROOT.glob("sample_dicom/*.dcm"), *ROOT.glob("tests/data/*.dcm")])
PHILIPS_PRIVATE = "1.3.46.670589.2.5.1.1"

pytestmark = [
    # pydicom warns about the samples' own oddities, in the sender's role.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as node:
        yield node


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


# Senders


def test_every_sample_arrives_whole(node: Node) -> None:
    for path in SAMPLES:
        ds = pydicom.dcmread(path)
        assert send(node.address, ds) == [0x0000]
        arrival, _ = node.recorder.arrivals[-1]
        assert arrival.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
        assert arrival.calling_ae_title == "ECHO1"
        stored = node.spool.path_of(arrival.sha256)
        syntax = ds.file_meta.TransferSyntaxUID
        sent = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian)
        assert stored.read_bytes()[read_head(stored.read_bytes()).dataset_at :] == sent
        meta = pydicom.filereader.read_file_meta_info(stored)
        assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert node.parts() == []
    assert len(node.blobs()) == len(SAMPLES) == len(node.recorder.arrivals)


@pytest.mark.skipif(shutil.which("storescu") is None, reason="needs: DCMTK's storescu")
def test_dcmtk_sends(node: Node) -> None:
    host, port = node.address
    subprocess.run(["echoscu", host, str(port)], check=True, timeout=20)
    for option, name in (
        ("-xy", "echo_apical_agilent_10f.dcm"),  # JPEG baseline
        ("-xs", "echo_still_epiq7_jpeg_lossless.dcm"),
        ("-xe", "us_probe_in_air.dcm"),
        ("-R", "ecg12_mortara_1000hz.dcm"),
    ):
        (path,) = [each for each in SAMPLES if each.name == name]
        command = ["storescu", option, "-aec", "CARDIONODE", host, str(port), str(path)]
        subprocess.run(command, check=True, timeout=30)
        blob = node.spool.path_of(node.recorder.arrivals[-1][0].sha256)
        expected = pydicom.dcmread(path, stop_before_pixels=True)
        assert pydicom.dcmread(blob).SOPInstanceUID == expected.SOPInstanceUID
    assert len(node.recorder.arrivals) == 4


def test_all_transfer_syntaxes_but_the_deflated(node: Node) -> None:
    proposed = [build_context(CT_IMAGE, uid) for uid in ALL_TRANSFER_SYNTAXES]
    assoc = AE().associate(*node.address, contexts=proposed)
    accepted = {str(context.transfer_syntax[0]) for context in assoc.accepted_contexts}
    assoc.release()
    assert accepted == {str(uid) for uid in ALL_TRANSFER_SYNTAXES} - DEFLATED


def test_a_sender_gets_its_first_transfer_syntax(node: Node) -> None:
    ae = AE()
    jpeg = "1.2.840.10008.1.2.4.50"
    ae.add_requested_context(CT_IMAGE, ["1.2.840.10008.1.2.1.99", jpeg, IMPLICIT_LE])
    assoc = ae.associate(*node.address)
    assert [context.transfer_syntax for context in assoc.accepted_contexts] == [[jpeg]]
    assoc.release()


@pytest.mark.parametrize(
    ("uid", "is_taken"),
    [
        ("1.2.840.10008.5.1.4.1.1.3.1", True),
        ("1.2.840.10008.5.1.4.1.1.6", True),  # retired ultrasound
        ("1.2.840.10008.5.1.4.1.1.3", True),
        ("1.2.840.10008.5.1.4.1.1.9.1.4", True),  # General 32-bit ECG
        ("1.2.840.10008.5.1.4.1.1.1.1.1", True),
        ("1.2.840.10008.5.1.4.1.1.104.1", True),
        ("1.2.840.10008.5.1.4.1.1.88.34", True),
        ("1.2.840.10008.5.1.4.1.1.11.1", True),
        ("1.2.840.10008.5.1.4.1.1.999.1", True),  # newer than the library
        (PHILIPS_PRIVATE, True),
        ("1.2.840.10008.5.1.4.1.1.200.4", False),  # a query among the storage classes
        ("1.2.840.10008.5.1.4.1.2.2.1", False),
        ("1.2.840.10008.3.1.2.3.3", False),
    ],
)
def test_which_classes_are_taken(node: Node, uid: str, is_taken: bool) -> None:
    assert is_storage_class(uid) is is_taken
    ae = AE()
    ae.add_requested_context(uid, IMPLICIT_LE)
    ae.add_requested_context(VERIFICATION, IMPLICIT_LE)
    assoc = ae.associate(*node.address)
    accepted = {str(context.abstract_syntax) for context in assoc.accepted_contexts}
    assoc.release()
    assert accepted == ({uid} if is_taken else set()) | {VERIFICATION}


def test_a_private_class_is_stored(node: Node) -> None:
    sop_instance_uid = b"1.2.3.77"
    with node.associated(PHILIPS_PRIVATE) as sock:
        sock.sendall(
            p_data(1, COMMAND_END, store_command(PHILIPS_PRIVATE.encode(), sop_instance_uid))
            + p_data(1, DATASET_END, dataset(PHILIPS_PRIVATE, sop_instance_uid.decode()))
        )
        assert status_of(read_pdu(sock)[1]) == 0x0000
    assert node.recorder.arrivals[0][0].sop_class_uid == PHILIPS_PRIVATE


def test_128_contexts_in_40_syntaxes(tmp_path: Path) -> None:
    # a slow machine needs its time for 5,120 transfer syntaxes
    with running(tmp_path, association_deadline_s=30.0, pdu_deadline_s=30.0) as node:
        syntaxes = [str(uid) for uid in ALL_TRANSFER_SYNTAXES[:40]]
        with node.connect() as sock:
            sock.sendall(
                associate_rq([(2 * at + 1, f"1.2.3.4.{at}", syntaxes) for at in range(128)])
            )
            assert read_pdu(sock)[0] == ASSOCIATE_AC


def test_own_results_are_marked(node: Node) -> None:
    assert send(node.address, small_ds("2.25.9")) == [0]
    assert node.recorder.arrivals[0][0].own_result


def test_patients_are_known_by_keyed_hashes(node: Node) -> None:
    for uid, date in (("1.2.3", "19500102"), ("1.2.4", "19500102"), ("1.2.5", "19500103")):
        ds = small_ds(uid)
        ds.PatientBirthDate = date
        assert send(node.address, ds) == [0]
    first, same, other = (arrival for arrival, _ in node.recorder.arrivals)
    assert first.patient_key == same.patient_key == other.patient_key != ""
    assert first.birth_key == same.birth_key != ""
    assert other.birth_key not in ("", first.birth_key)


# Duplicates and conflicts, with the real ledger


def test_duplicates_and_conflicts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    outcomes: list[ArrivalOutcome] = []
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:

        def record(arrival: Arrival, reason: str | None) -> ArrivalOutcome:
            outcomes.append(ledger.record_arrival(arrival, reason))
            return outcomes[-1]

        listener = listener_for(spool, record)
        listener.start()
        address = listener.address
        first, changed = small_ds("1.2.3.4"), small_ds("1.2.3.4", patient="P2")
        assert send(address, first, first) == [0, 0]
        threads = [threading.Thread(target=send, args=(address, first)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert send(address, changed, changed, first) == [0, 0, 0]
        listener.stop()
        counts = ledger.counts()["instances"]

    assert outcomes.count(ArrivalOutcome.STORED) == 1
    assert outcomes.count(ArrivalOutcome.CONFLICT) == 1
    assert len(outcomes) == 13
    assert sum(counts.values()) == 2
    assert len(list((tmp_path / "spool" / "obj").glob("*/*"))) == 2


# Refusals


def test_below_the_reserve(tmp_path: Path) -> None:
    with running(tmp_path, reserve_bytes=1 << 62) as node:
        big = pydicom.dcmread(ROOT / "sample_dicom" / "echo_apical_agilent_10f.dcm")
        assert send(node.address, big, small_ds("1.2.3.4")) == [0xA700, 0xA700]
        assert node.echo()
        assert node.is_untouched()


def test_a_ledger_that_fails_gives_no_success(node: Node) -> None:
    def fail() -> None:
        raise OSError("the disk is gone")

    node.recorder.before = fail
    assert send(node.address, small_ds("1.2.3.4")) == [0xA700]
    node.recorder.before = lambda: None
    assert send(node.address, small_ds("1.2.3.4")) == [0]


@pytest.mark.parametrize(
    "uid",
    [
        b"../../../../tmp/x",
        b"/etc/passwd",
        b"1.2.3\0/../x",
        b"1.2.abc",
        b"1." + b"2" * 63,
        b"1." + b"2" * 600,
        b"1.2\\1.3",
        b"",
        b"\xff\xfe",
    ],
)
def test_uids_that_are_none_are_refused(node: Node, uid: bytes) -> None:
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(
            p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid))
            + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
        )
        kind, body = read_pdu(sock)
        assert kind == P_DATA
        assert status_of(body) == 0xC000
        sock.sendall(
            p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
            + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
        )
        assert status_of(read_pdu(sock)[1]) == 0x0000
    assert node.recorder.sop_instance_uids == ["1.2.3"]
    assert node.parts() == []


def test_another_instance_or_class_than_announced(node: Node) -> None:
    other = "1.2.840.10008.5.1.4.1.1.4"
    with node.associated(CT_IMAGE) as sock:
        for command_class, data, status in (
            (CT_IMAGE, dataset(CT_IMAGE, "1.2.4"), 0xA900),
            (CT_IMAGE, dataset(other, "1.2.3"), 0xA900),
            (other, dataset(other, "1.2.3"), 0x0122),
            (CT_IMAGE, b"", 0xC000),
        ):
            sock.sendall(
                p_data(1, COMMAND_END, store_command(command_class.encode(), b"1.2.3"))
                + p_data(1, DATASET_END, data)
            )
            assert status_of(read_pdu(sock)[1]) == status
    assert node.is_untouched()


def test_a_store_without_a_dataset(node: Node) -> None:
    with node.associated(CT_IMAGE) as sock:
        command = store_command(CT_IMAGE.encode(), b"1.2.3", has_dataset=False)
        sock.sendall(p_data(1, COMMAND_END, command))
        assert status_of(read_pdu(sock)[1]) == 0xC000


def test_strangers_can_be_kept_out(tmp_path: Path) -> None:
    with running(tmp_path, calling_ae_titles=("ECHO1",), require_called_ae_title=True) as node:
        for calling, called, kind in (
            ("ECHO1", "CARDIONODE", ASSOCIATE_AC),
            ("EVIL", "CARDIONODE", ASSOCIATE_RJ),
            ("ECHO1", "OTHER", ASSOCIATE_RJ),
        ):
            with node.connect() as sock:
                sock.sendall(associate_rq([(1, VERIFICATION, [IMPLICIT_LE])], calling, called))
                assert read_pdu(sock)[0] == kind


def test_one_association_too_many_is_rejected_for_now(tmp_path: Path) -> None:
    with running(tmp_path, max_associations=2) as node:
        two = node.associated(VERIFICATION), node.associated(VERIFICATION)
        with two[0], two[1], node.connect() as third:
            third.sendall(associate_rq([(1, VERIFICATION, [IMPLICIT_LE])]))
            assert read_pdu(third) == (ASSOCIATE_RJ, b"\0\2\3\2")
        wait_until(lambda: node.listener.association_count == 0)
        assert node.echo()


def test_a_port_that_is_taken_is_a_configuration_error(node: Node, tmp_path: Path) -> None:
    other = listener_for(Spool(tmp_path, 0), Recorder(), port=node.address[1])
    with pytest.raises(ConfigurationError, match="can't listen"):
        other.start()


# Attackers


def test_a_2_gib_claim_before_association_costs_nothing(node: Node) -> None:
    assert node.echo()
    before = resident_bytes()
    with node.connect() as sock:
        sock.sendall(pdu(0x01, b"", length=1 << 31))
        flood(sock, 64 << 20)
        assert read_pdu(sock)[0] in (ABORT, 0)
    assert resident_bytes() - before < 2 << 20
    assert node.echo()


def flood(sock: socket.socket, count: int) -> None:
    chunk = b"\0" * 65536
    for _ in range(count // len(chunk)):
        try:
            sock.sendall(chunk)
        except OSError:
            return


@pytest.mark.parametrize("length", [131_072 + 7, 1 << 20, 1 << 31])
def test_more_than_was_negotiated_aborts(node: Node, length: int) -> None:
    with node.associated(CT_IMAGE) as sock:
        before = resident_bytes()
        sock.sendall(pdu(P_DATA, b"", length=length))
        flood(sock, 8 << 20)
        assert read_pdu(sock)[0] in (ABORT, 0)
        assert resident_bytes() - before < 2 << 20
    wait_until(lambda: node.listener.association_count == 0)


def test_what_was_negotiated_is_taken(node: Node) -> None:
    data = dataset(CT_IMAGE, "1.2.3")
    data += struct.pack("<HHI", 0x0009, 0x1010, 131_066 - len(data) - 8)
    data = data.ljust(131_066, b"x")
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(
            p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), b"1.2.3"))
            + p_data(1, DATASET_END, data)
        )
        assert status_of(read_pdu(sock)[1]) == 0x0000


@pytest.mark.parametrize("associate", [False, True])
def test_a_byte_now_and_then_is_cut_by_the_deadline(node: Node, associate: bool) -> None:
    began = time.monotonic()
    with node.associated(CT_IMAGE) if associate else node.connect() as sock:
        sock.settimeout(0.1)
        for byte in pdu(P_DATA if associate else 0x01, b"", length=1000).ljust(1000, b"\0"):
            try:
                sock.sendall(bytes([byte]))
                if not sock.recv(100):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert 0.5 < time.monotonic() - began < 8.0
    wait_until(lambda: node.listener.association_count == 0)


def test_an_idle_association_ends(tmp_path: Path) -> None:
    with running(tmp_path, idle_timeout_s=0.5) as node, node.associated(CT_IMAGE) as sock:
        began = time.monotonic()
        assert read_pdu(sock)[0] in (ABORT, 0)
        assert 0.3 < time.monotonic() - began < 8.0


def test_idle_connections_do_not_keep_senders_out(node: Node) -> None:
    threads = threading.active_count()
    idle = [node.connect() for _ in range(100)]
    try:
        for _ in range(3):
            assert node.echo()
        assert send(node.address, small_ds("1.2.3.4")) == [0]
        assert threading.active_count() <= threads + 4
    finally:
        for sock in idle:
            sock.close()


STORE_COMMAND_FIELD = struct.pack("<HHIH", 0x0000, 0x0100, 2, 0x0001)


def command_for(uid: bytes = b"1.2.3") -> bytes:
    return p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(p_data(1, DATASET_END, b"\0" * 100), id="dataset before command"),
        pytest.param(p_data(9, COMMAND_END, b""), id="context not accepted"),
        pytest.param(command_for() + p_data(3, DATASET, b"x"), id="context changes"),
        pytest.param(pdu(P_DATA, struct.pack(">IB", 1, 1)), id="fragment without header"),
        pytest.param(pdu(P_DATA, struct.pack(">IB", 999, 1)), id="fragment too long"),
        pytest.param(p_data(1, COMMAND_END, b"garbage garbage"), id="garbage command"),
        pytest.param(
            command_for().replace(STORE_COMMAND_FIELD, STORE_COMMAND_FIELD[:-2] + b"\x77\x77"),
            id="unknown command",
        ),
        pytest.param(p_data(1, COMMAND, b"\0" * 1000) * 100, id="command without end"),
        pytest.param(pdu(0x0C, b""), id="unknown PDU"),
        pytest.param(associate_rq([(1, CT_IMAGE, [IMPLICIT_LE])]), id="second request"),
        pytest.param(pdu(0x07, b"\0" * 4), id="abort"),
        pytest.param((command_for() + p_data(1, DATASET_END, b"x")) * 60, id="never waits"),
    ],
)
def test_broken_protocol_ends_the_association_only(node: Node, data: bytes) -> None:
    node.recorder.before = lambda: time.sleep(0.05)
    with node.associated(CT_IMAGE, VERIFICATION) as sock:
        sock.sendall(data)
        kind = P_DATA
        while kind == P_DATA:
            kind, _ = read_pdu(sock)
        assert kind in (ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.parts() == []
    assert node.echo()


@pytest.mark.parametrize("farewell", ["close", "reset", "abort"])
def test_an_end_amid_a_dataset_leaves_nothing(node: Node, farewell: str) -> None:
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(command_for() + p_data(1, DATASET, b"x" * 10_000) * 20)
        wait_until(lambda: len(node.parts()) == 1)
        if farewell == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif farewell == "abort":
            sock.sendall(pdu(ABORT, b"\0" * 4))
    wait_until(lambda: node.listener.association_count == 0)
    assert node.is_untouched()


def test_an_endless_dataset_is_cut_at_the_cap(node: Node) -> None:
    before = resident_bytes()
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(command_for())
        fragment = p_data(1, DATASET, b"\0" * 65_000)
        with pytest.raises(ConnectionError):
            for _ in range(400):
                sock.sendall(fragment)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.parts() == []
    assert resident_bytes() - before < 8 << 20


def test_an_abort_before_the_answer_keeps_the_instance(node: Node) -> None:
    gone = threading.Event()

    def wait() -> None:
        gone.wait(5.0)

    node.recorder.before = wait
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(command_for() + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3")))
        wait_until(lambda: len(node.blobs()) == 1)
        sock.sendall(pdu(ABORT, b"\0" * 4))
    gone.set()
    wait_until(lambda: node.listener.association_count == 0)
    assert node.recorder.sop_instance_uids == ["1.2.3"]


def test_random_conversations_end(node: Node) -> None:
    source = random.Random(7)
    whole = command_for() + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
    for _ in range(60):
        changed = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            changed[source.randrange(len(changed))] = source.randrange(256)
        # the node may cut the connection at any point of this
        with node.associated(CT_IMAGE) as sock, suppress(OSError):
            sock.sendall(changed)
            sock.shutdown(socket.SHUT_WR)
            while read_pdu(sock)[0]:
                pass
    wait_until(lambda: node.listener.association_count == 0)
    assert node.parts() == []
    assert node.echo()


# The end


def test_stop_lets_a_running_store_end(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        node.recorder.before = lambda: time.sleep(0.5)
        with node.associated(CT_IMAGE) as busy, node.associated(CT_IMAGE) as idle:
            busy.sendall(command_for() + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3")))
            wait_until(lambda: len(node.blobs()) == 1)
            node.listener.stop(drain_s=5.0)
            kind, body = read_pdu(busy)
            assert (kind, status_of(body)) == (P_DATA, 0x0000)
            assert read_pdu(idle)[0] in (ABORT, 0)
        with pytest.raises(ConnectionError):
            node.connect()


def test_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    with running(tmp_path, pdu_deadline_s=30.0) as node, node.associated(CT_IMAGE) as sock:
        sock.sendall(command_for() + p_data(1, DATASET, b"x" * 100))
        wait_until(lambda: len(node.parts()) == 1)
        began = time.monotonic()
        node.listener.stop(drain_s=0.3)
        assert time.monotonic() - began < 8.0
        assert node.parts() == []
        assert node.recorder.arrivals == []
