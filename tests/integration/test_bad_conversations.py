"""Conversations that break PS3.7 and PS3.8: each costs its own association, and nobody else's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.dicom_wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    IMPLICIT_LE,
    P_DATA,
    VERIFICATION,
    associate_rq,
    dataset,
    element,
    p_data,
    pdu,
    read_pdu,
    status_of,
    store_command,
)
from tests.running_listener import Node, running, wait_until

_UID = b"1.2.3"
_CONTEXT = (1, CT_IMAGE, [IMPLICIT_LE])
_ECHO = (3, VERIFICATION, [IMPLICIT_LE])


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running(tmp_path) as node:
        yield node


def _command(field: int, *, message_id: int = 1, has_dataset: bool = False) -> bytes:
    elements = b"".join(
        (
            element(0x0000, 0x0002, CT_IMAGE.encode() + b"\0"),
            element(0x0000, 0x0100, struct.pack("<H", field)),
            element(0x0000, 0x0110 if field < 0x0100 else 0x0120, struct.pack("<H", message_id)),
            element(0x0000, 0x0800, struct.pack("<H", 1 if has_dataset else 0x0101)),
        )
    )
    return element(0x0000, 0x0000, struct.pack("<I", len(elements))) + elements


def _store(uid: bytes = _UID, **kwargs: bool) -> bytes:
    return p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid, **kwargs))


_GOOD = _store() + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3"))
_CANCEL = p_data(1, COMMAND_END, _command(0x0FFF))


def _is_stored(sock: socket.socket) -> bool:
    sock.sendall(_GOOD)
    kind, body = read_pdu(sock)
    return kind == P_DATA and status_of(body) == 0x0000


def _ends(sock: socket.socket) -> bool:
    """Whether the peer ends the association, whatever it says before."""
    while (kind := read_pdu(sock)[0]) == P_DATA:
        pass
    return kind in (ABORT, 0)


# Requests for an association

_REQUEST = associate_rq([_CONTEXT])


def _with(request: bytes, at: int, new: bytes) -> bytes:
    return request[:at] + new + request[at + len(new) :]


def _longer_item(request: bytes, kind: int) -> bytes:
    """The request with an item that claims to be longer than the PDU."""
    at = request.index(bytes([kind, 0]), 74)
    return _with(request, at + 2, b"\xff\xfe")


def _with_user_item(kind: int, body: bytes) -> bytes:
    user = struct.pack(">BxHI", 0x51, 4, 16384) + struct.pack(">BxH", 0x52, 7) + b"1.2.3.4"
    user += struct.pack(">BxH", kind, len(body)) + body
    at = _REQUEST.index(b"\x50\0", 74)
    fixed = _REQUEST[6:at] + struct.pack(">BxH", 0x50, len(user)) + user
    return pdu(0x01, fixed)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01\0\0\0\0", id="a header of five bytes"),
        pytest.param(_REQUEST[:-1], id="a request without its last byte"),
        pytest.param(_REQUEST[:74], id="a request without its items"),
    ],
)
def test_who_leaves_early_costs_nothing(node: Node, data: bytes) -> None:
    with node.connect() as sock:
        sock.sendall(data)
    assert node.echo()
    wait_until(lambda: node.listener.association_count == 0)


@pytest.mark.parametrize(
    "request_pdu",
    [
        pytest.param(_longer_item(_REQUEST, 0x10), id="application context"),
        pytest.param(_longer_item(_REQUEST, 0x20), id="presentation context"),
        pytest.param(_longer_item(_REQUEST, 0x30), id="abstract syntax"),
        pytest.param(_longer_item(_REQUEST, 0x40), id="transfer syntax"),
        pytest.param(_longer_item(_REQUEST, 0x50), id="user information"),
        pytest.param(_longer_item(_REQUEST, 0x51), id="maximum length"),
    ],
)
def test_an_item_longer_than_the_request(node: Node, request_pdu: bytes) -> None:
    with node.connect() as sock:
        sock.sendall(request_pdu)
        kind, _ = read_pdu(sock)
        if kind == ASSOCIATE_AC:  # What it could read of the request is no reason to refuse.
            sock.shutdown(socket.SHUT_WR)
            assert _ends(sock)
        assert kind in (ASSOCIATE_AC, ASSOCIATE_RJ, ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.echo()


@pytest.mark.parametrize(
    "contexts",
    [
        pytest.param([(n % 256, CT_IMAGE, [IMPLICIT_LE]) for n in range(1, 259, 2)], id="129"),
        pytest.param([_CONTEXT, (2, CT_IMAGE, [IMPLICIT_LE])], id="an even id"),
        pytest.param([_CONTEXT, (0, CT_IMAGE, [IMPLICIT_LE])], id="id 0"),
        pytest.param([_CONTEXT, (1, VERIFICATION, [IMPLICIT_LE])], id="an id twice"),
        pytest.param([(1, CT_IMAGE, [])], id="no transfer syntax"),
        pytest.param([(1, "", [IMPLICIT_LE])], id="no abstract syntax"),
        pytest.param([(1, "../../x", [IMPLICIT_LE])], id="an abstract syntax that is no UID"),
        pytest.param([], id="none"),
    ],
)
def test_contexts_that_may_not_be(node: Node, contexts: list[tuple[int, str, list[str]]]) -> None:
    """It is negotiated or refused, and whoever asks properly is served (PS3.8 section 9.3.2.2)."""
    with node.connect() as sock:
        sock.sendall(associate_rq(contexts))
        kind, _ = read_pdu(sock)
        assert kind in (ASSOCIATE_AC, ASSOCIATE_RJ, ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0)
    with node.associated(CT_IMAGE) as sock:
        assert _is_stored(sock)


@pytest.mark.parametrize("kind", [0x58, 0x54, 0x56, 0x99])
@pytest.mark.parametrize("size", [0, 1, 65_000])
def test_user_items_of_any_kind_and_size(node: Node, kind: int, size: int) -> None:
    with node.connect() as sock:
        sock.sendall(_with_user_item(kind, b"\xff" * size))
        assert read_pdu(sock)[0] in (ASSOCIATE_AC, ASSOCIATE_RJ, ABORT, 0)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.echo()


def test_a_request_with_a_megabyte_of_user_items(node: Node) -> None:
    body = _REQUEST[6:] + b"\x58\0\xff\xff" + b"\xff" * (1 << 20)
    with node.connect() as sock:
        with suppress(OSError):
            sock.sendall(pdu(0x01, body))
        assert read_pdu(sock)[0] in (ABORT, 0)
    assert node.echo()


# Messages


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            _store(has_dataset=False) + p_data(1, DATASET_END, dataset(CT_IMAGE, "1.2.3")),
            id="a dataset that was not announced",
        ),
        pytest.param(pdu(P_DATA, struct.pack(">I", 0)), id="a fragment of length 0"),
        pytest.param(pdu(P_DATA, struct.pack(">IBB", 1, 1, 3)), id="a fragment of length 1"),
        pytest.param(pdu(P_DATA, b"\0\0"), id="half a length"),
        pytest.param(p_data(1, COMMAND_END, b""), id="an empty command"),
        pytest.param(p_data(1, COMMAND_END, _command(0x0000)), id="command 0"),
        pytest.param(p_data(1, COMMAND_END, _command(0x0020)), id="a query"),
        pytest.param(p_data(1, COMMAND_END, _command(0x0150)), id="a deletion"),
        pytest.param(p_data(1, COMMAND_END, _command(0x8001)), id="an answer to nothing"),
    ],
)
def test_a_message_that_may_not_be_ends_the_association(node: Node, data: bytes) -> None:
    with node.associated(CT_IMAGE, VERIFICATION) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert _ends(sock)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.parts() == []
    assert node.recorder.arrivals == []
    assert node.echo()


def test_a_cancel_of_a_store_changes_nothing(node: Node) -> None:
    """C-STORE knows no cancel (PS3.7 section 9.3.1): its request is not there any more."""
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(_GOOD + _CANCEL)
        kind, body = read_pdu(sock)
        assert (kind, status_of(body)) == (P_DATA, 0x0000)
    wait_until(lambda: node.listener.association_count == 0)
    assert node.recorder.sop_instance_uids == ["1.2.3"]
    assert node.echo()


def test_a_peer_that_vanishes_amid_a_dataset(tmp_path: Path) -> None:
    with running(tmp_path, idle_timeout_s=0.5) as node, node.associated(CT_IMAGE) as sock:
        sock.sendall(_store() + p_data(1, DATASET, b"x" * 5000))
        wait_until(lambda: len(node.parts()) == 1)
        wait_until(lambda: node.listener.association_count == 0, timeout_s=10.0)
        assert node.is_untouched()


def test_a_comment_of_12_mib_is_stored_without_being_read(node: Node) -> None:
    # It comes too late in the order of elements, as well: no reason to lose an image.
    comment = element(0x0010, 0x4000, b"\x1b[31m" + b"A" * (12 << 20) + b"<b>")
    data = dataset(CT_IMAGE, "1.2.3", tail=comment)
    with node.associated(CT_IMAGE) as sock:
        sock.sendall(_store())
        step = 16_000
        for at in range(0, len(data), step):
            is_last = at + step >= len(data)
            sock.sendall(p_data(1, DATASET_END if is_last else DATASET, data[at : at + step]))
        kind, body = read_pdu(sock)
        assert (kind, status_of(body)) == (P_DATA, 0x0000)
    ((arrival, reason),) = node.recorder.arrivals
    assert reason is None
    assert arrival.size_bytes > 12 << 20
