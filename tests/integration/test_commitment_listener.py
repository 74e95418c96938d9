"""What the listener answers to DIMSE-N requests, proper ones and others (cases 33 to 35)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role
from pynetdicom.presentation import build_context

from node.arrival.c_store import Listener
from node.arrival.spool import Spool
from node.commitment import (
    MAX_ANSWER_BYTES,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswer,
)
from node.commitment_desk import CommitmentDesk
from node.config_listen import ListenSettings
from node.ledger.states import AnswerOutcome, ArrivalOutcome
from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    IMPLICIT_LE,
    P_DATA,
    VERIFICATION,
    associate_rq,
    element,
    p_data,
    read_pdu,
    status_of,
    store_command,
)
from tests.node_process import wait_until

N_EVENT_REPORT, N_ACTION, N_CREATE = 0x0100, 0x0130, 0x0140
WITHIN_S = 30.0


class Node:
    """A listener whose desk knows one transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[CommitmentAnswer] = []
        self.most_threads = 0
        self.takes_s = 0.0
        self.listener = Listener(
            ListenSettings().model_copy(update={"port": 0, "pdu_deadline_s": 5.0}),
            "CARDIONODE",
            Spool(folder, 0, max_object_bytes=16 << 20),
            lambda arrival, reason: ArrivalOutcome.STORED,
            lambda header: False,
            lambda patient_id, issuer: "",
            desk=CommitmentDesk(self._record),
        )
        self.listener.start()

    def _record(self, answer: CommitmentAnswer) -> AnswerOutcome:
        time.sleep(self.takes_s)
        self.most_threads = max(self.most_threads, threading.active_count())
        self.answers.append(answer)
        return AnswerOutcome.TAKEN if answer.transaction_uid == "2.25.1" else AnswerOutcome.UNKNOWN

    def blobs(self) -> list[Path]:
        return [each for each in (self.folder / "spool").rglob("*") if each.is_file()]

    def associate(self, *contexts: str, **options: Any) -> Any:
        ae = AE("MODALITY")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 30.0
        assoc = ae.associate(
            *self.listener.address, contexts=[build_context(each) for each in contexts], **options
        )
        assert assoc.is_established
        return assoc

    def wire(self, *contexts: str) -> socket.socket:
        sock = socket.create_connection(self.listener.address, timeout=20.0)
        proposed = [(2 * at + 1, uid, [IMPLICIT_LE]) for at, uid in enumerate(contexts)]
        sock.sendall(associate_rq(proposed))
        assert read_pdu(sock)[0] == ASSOCIATE_AC
        return sock

    def is_well(self) -> bool:
        assoc = self.associate(VERIFICATION)
        status = assoc.send_c_echo()
        assoc.release()
        return "Status" in status and status.Status == 0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    running = Node(tmp_path)
    yield running
    running.listener.stop(drain_s=2.0)
    assert running.listener.association_count == 0
    assert running.blobs() == []


def request(*uids: str) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = "2.25.77"
    items = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = CT_IMAGE
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    ds.ReferencedSOPSequence = Sequence(items)
    return ds


def command(field: int, *, dataset: bool = True, sop_class: str = PUSH_MODEL) -> bytes:
    """The command set of a DIMSE-N request; affected or requested, as the service has it."""
    of_action = field == N_ACTION
    padded = sop_class.encode() + b"\0" * (len(sop_class) % 2)
    instance = PUSH_MODEL_INSTANCE.encode() + b"\0" * (len(PUSH_MODEL_INSTANCE) % 2)
    elements = element(0, 0x0003 if of_action else 0x0002, padded)
    elements += element(0, 0x0100, struct.pack("<H", field))
    elements += element(0, 0x0110, struct.pack("<H", 1))
    elements += element(0, 0x0800, struct.pack("<H", 1 if dataset else 0x0101))
    elements += element(0, 0x1001 if of_action else 0x1000, instance)
    if field != N_CREATE:
        elements += element(0, 0x1008 if of_action else 0x1002, struct.pack("<H", 1))
    return element(0, 0, struct.pack("<I", len(elements))) + elements


@pytest.mark.parametrize(
    "uids",
    [
        ("1.2.3",),
        ("1.2.3", "1.2.3", "1.2.3"),
        tuple(f"2.25.{10**37 + number}" for number in range(10_000)),
    ],
    ids=["unknown", "duplicate", "ten thousand"],
)
def test_a_modality_is_told_at_once_that_nothing_is_committed(
    node: Node, uids: tuple[str, ...]
) -> None:
    assoc = node.associate(PUSH_MODEL)
    for message_id in (1, 2):  # the same transaction again
        status, reply = assoc.send_n_action(
            request(*uids), 1, PUSH_MODEL, PUSH_MODEL_INSTANCE, msg_id=message_id
        )
        assert status.Status == 0x0124
        assert status.ErrorComment == "This node does not archive. Keep the instances."
        assert reply is None
    assoc.release()
    assert node.answers == []


@pytest.mark.parametrize(
    ("action_type", "sop_class", "instance", "status"),
    [
        (2, PUSH_MODEL, PUSH_MODEL_INSTANCE, 0x0123),
        (1, PUSH_MODEL, "1.2.3", 0x0112),
        (1, CT_IMAGE, PUSH_MODEL_INSTANCE, 0x0118),
    ],
)
def test_what_is_wrong_with_an_action_is_said(
    node: Node, action_type: int, sop_class: str, instance: str, status: int
) -> None:
    assoc = node.associate(PUSH_MODEL)
    said, _ = assoc.send_n_action(
        request("1.2.3"), action_type, sop_class, instance, meta_uid=PUSH_MODEL
    )
    assoc.release()
    assert said.Status == status


def test_roles_are_negotiated(node: Node) -> None:
    for scu, scp in ((True, False), (False, True), (True, True)):
        roles = [build_role(PUSH_MODEL, scu_role=scu, scp_role=scp)]
        assoc = node.associate(PUSH_MODEL, ext_neg=roles)
        (context,) = assoc.accepted_contexts
        assert (context.as_scu, context.as_scp) == (scu, scp)
        assoc.release()


def test_an_action_without_information_is_refused(node: Node) -> None:
    with node.wire(PUSH_MODEL) as sock:
        sock.sendall(p_data(1, COMMAND_END, command(N_ACTION, dataset=False)))
        assert status_of(read_pdu(sock)[1]) == 0x0124


def test_an_answer_that_is_too_long_is_refused_and_the_next_one_read(node: Node) -> None:
    chunk = p_data(1, DATASET, b"\0" * 16_000)
    with node.wire(PUSH_MODEL) as sock:
        sock.sendall(p_data(1, COMMAND_END, command(N_EVENT_REPORT)))
        sock.sendall(chunk * (MAX_ANSWER_BYTES // 16_000 + 1) + p_data(1, DATASET_END, b""))
        assert status_of(read_pdu(sock)[1]) == 0x0213
        good = element(0x0008, 0x1195, b"2.25.1")
        sock.sendall(p_data(1, COMMAND_END, command(N_EVENT_REPORT)))
        sock.sendall(p_data(1, DATASET_END, good))
        assert status_of(read_pdu(sock)[1]) == 0x0000
    assert node.answers == [CommitmentAnswer("2.25.1", frozenset(), {})]


def test_garbage_in_an_answer_is_refused(node: Node) -> None:
    with node.wire(PUSH_MODEL) as sock:
        sock.sendall(p_data(1, COMMAND_END, command(N_EVENT_REPORT)))
        sock.sendall(p_data(1, DATASET_END, b"\xff" * 999))
        assert status_of(read_pdu(sock)[1]) == 0x0115
    assert node.answers == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            p_data(3, COMMAND_END, store_command(PUSH_MODEL.encode(), b"1.2.3"))
            + p_data(3, DATASET_END, b"x" * 100),
            id="a store of the class",
        ),
        pytest.param(
            p_data(1, COMMAND_END, store_command(PUSH_MODEL.encode(), b"1.2.3", has_dataset=False)),
            id="a store of the class elsewhere",
        ),
        pytest.param(
            p_data(1, COMMAND_END, command(N_ACTION, dataset=False, sop_class=CT_IMAGE)),
            id="an action elsewhere",
        ),
        pytest.param(
            p_data(1, COMMAND_END, command(N_EVENT_REPORT)) + p_data(1, DATASET_END, b"x"),
            id="an event elsewhere",
        ),
        pytest.param(
            p_data(3, COMMAND_END, command(N_CREATE, dataset=False)), id="another service"
        ),
        pytest.param(
            p_data(3, COMMAND_END, command(N_ACTION)) + p_data(3, DATASET, b"\0" * 100_000) * 700,
            id="an action without end",
        ),
    ],
)
def test_broken_protocol_ends_the_association_only(node: Node, data: bytes) -> None:
    with node.wire(CT_IMAGE, PUSH_MODEL) as sock:
        with contextlib.suppress(OSError):  # it may be cut before the end
            sock.sendall(data)
        kind = P_DATA
        while kind == P_DATA:
            kind, _ = read_pdu(sock)
        assert kind in (ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0, WITHIN_S, "the end")
    assert node.is_well()
    assert node.answers == []


def test_a_flood_of_answers_is_cut(node: Node) -> None:
    node.takes_s = 0.1
    before = threading.active_count()
    one = p_data(1, COMMAND_END, command(N_EVENT_REPORT))
    one += p_data(1, DATASET_END, element(0x0008, 0x1195, b"2.25.1"))
    with node.wire(PUSH_MODEL) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(one * 300)
        kind = P_DATA
        while kind == P_DATA:
            kind, _ = read_pdu(sock)
        assert kind in (ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0, WITHIN_S, "the end")
    assert len(node.answers) < 20
    assert node.most_threads - before < 10
    assert node.is_well()
