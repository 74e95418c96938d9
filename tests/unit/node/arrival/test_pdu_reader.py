"""Packets and messages out of any bytes, however they are cut."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import P_DATA_TF

from node.arrival.command import Command
from node.arrival.incoming import Expected, IncomingDataset
from node.arrival.intake import Intake
from node.arrival.message_reader import MessageReader
from node.arrival.pdu_reader import (
    P_DATA_TF as P_DATA,
)
from node.arrival.pdu_reader import (
    PduReader,
    data_pdus,
    fragments,
)
from node.arrival.spool import Spool
from node.arrival.violation import AbortReason, MessageError, PduError, ProtocolViolationError
from node.ledger.states import ArrivalOutcome
from tests.dicom_wire import (
    ABORT,
    COMMAND,
    COMMAND_END,
    CT_IMAGE,
    DATASET,
    DATASET_END,
    p_data,
    pdu,
    store_command,
)

MAX_PDU_BYTES = 4096
COMMAND_SET = store_command(CT_IMAGE.encode(), b"1.2.3")

pieces = st.binary(max_size=300)
packets = st.lists(
    st.one_of(
        st.builds(p_data, st.integers(0, 255), st.integers(0, 255), pieces),
        st.just(pdu(0x05, b"\0" * 4)),
        st.just(pdu(ABORT, b"\0" * 4)),
        st.builds(lambda size: p_data(1, DATASET, b"\x5a" * size), st.integers(0, 4090)),
    ),
    max_size=12,
)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut bytes at these places, modulo their length."""
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(at)]


def read(parts: Sequence[bytes], reader: PduReader | None = None) -> list[tuple[int, bytes]]:
    """Feed parts; what came out of them."""
    reader = reader or PduReader(MAX_PDU_BYTES)
    found = []
    for part in parts:
        source = io.BytesIO(part)
        while count := source.readinto(reader.room()):
            reader.add(count)
            while (packet := reader.next()) is not None:
                found.append((packet.kind, bytes(packet.body)))
    return found


@settings(deadline=None)
@given(packets, st.lists(st.integers(0, 1 << 16), max_size=20))
def test_packets_are_the_same_wherever_the_stream_is_cut(
    sent: list[bytes], places: list[int]
) -> None:
    found = read(cut(b"".join(sent), places))
    assert found == [(each[0], each[6:]) for each in sent]


@settings(deadline=None)
@given(packets, st.data())
def test_damaged_packets_raise_nothing_else(sent: list[bytes], data: st.DataObject) -> None:
    stream = bytearray(b"".join(sent) or b"\0")
    for _ in range(data.draw(st.integers(1, 5))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    places = data.draw(st.lists(st.integers(0, 1 << 16), max_size=8))
    reader = PduReader(MAX_PDU_BYTES)
    try:
        for kind, body in read(cut(bytes(stream), places), reader):
            if kind == P_DATA:
                assert len(fragments(memoryview(body))) >= 1
    except PduError as error:
        assert error.abort.pdu[:6] == b"\x07\0\0\0\0\4"
    assert len(reader.room()) <= 4096 + 6 + 6 + (64 << 10)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_body_is_fragments_or_an_error(body: bytes) -> None:
    try:
        found = fragments(memoryview(body))
    except PduError:
        return
    assert sum(6 + len(each.data) for each in found) == len(body)


@pytest.mark.parametrize(
    ("head", "word", "reason"),
    [
        (pdu(0x00, b"", length=0), "type", (2, 1)),
        (pdu(0x0C, b"", length=0), "type", (2, 1)),
        (b"GET / HTTP/1.1", "type", (2, 1)),
        (pdu(0x01, b"", length=100), "unexpected", (2, 2)),
        (pdu(0x02, b"", length=100), "unexpected", (2, 2)),
        (pdu(0x06, b"", length=4), "unexpected", (2, 2)),
        (pdu(P_DATA, b"", length=MAX_PDU_BYTES + 7), "length", (2, 6)),
        (pdu(P_DATA, b"", length=(1 << 32) - 1), "length", (2, 6)),
        (pdu(ABORT, b"", length=4097), "length", (2, 6)),
    ],
)
def test_what_is_not_due_is_known_by_its_header(
    head: bytes, word: str, reason: tuple[int, int]
) -> None:
    with pytest.raises(PduError) as caught:
        read([head[:6]])
    assert caught.value.word == word
    assert caught.value.abort.value == reason


def test_the_buffer_is_small_until_a_large_packet_comes() -> None:
    reader = PduReader(131_072)
    assert read([pdu(0x05, b"\0" * 4)], reader) == [(0x05, b"\0" * 4)]
    assert len(reader.room()) == 16 << 10
    large = p_data(1, DATASET, b"x" * 131_066)
    assert read([large], reader) == [(P_DATA, large[6:])]
    assert len(reader.room()) == len(large)  # for another such, and nothing that has to be moved
    small = p_data(1, COMMAND, COMMAND_SET)
    assert read([small], reader) == [(P_DATA, small[6:])]
    assert len(reader.room()) == 131_072 + 12 + (64 << 10)


def test_amid_a_packet_there_is_room_for_its_rest_only() -> None:
    reader = PduReader(131_072)
    large = p_data(1, DATASET, b"x" * 60_000)
    assert read([large[:6]], reader) == []
    assert len(reader.room()) == len(large) - 6
    assert read([large[6:1000]], reader) == []
    assert len(reader.room()) == len(large) - 1000
    assert read([large[1000:]], reader) == [(P_DATA, large[6:])]


@pytest.mark.parametrize("most_bytes", [0, 7, 20, 128, 16_384])
def test_an_answer_fits_what_the_peer_takes(most_bytes: int) -> None:
    packed = data_pdus(3, COMMAND_SET, most_bytes)
    got = bytearray()
    lasts = []
    for kind, body in read([packed]):
        assert kind == P_DATA
        assert most_bytes == 0 or len(body) <= most_bytes
        theirs = P_DATA_TF()
        theirs.decode(pdu(P_DATA, body))  # as the library reads it
        assert len(theirs.presentation_data_value_items) == 1
        (each,) = fragments(memoryview(body))
        assert (each.context_id, each.is_command) == (3, True)
        got += each.data
        lasts.append(each.is_last)
    assert bytes(got) == COMMAND_SET
    assert lasts == [False] * (len(lasts) - 1) + [True]


# Messages


class Reading:
    """What a message reader makes of a stream; datasets are kept in memory."""

    def __init__(self, intake: Intake) -> None:
        self.messages = MessageReader(
            {1, 3}, lambda _: IncomingDataset(Expected(kept_bytes=1 << 20), intake)
        )
        self.whole: list[tuple[Command, bytes | None]] = []

    def take(self, kind: int, body: bytes) -> None:
        if kind == P_DATA:
            for each in fragments(memoryview(body)):
                message = self.messages.take(each)
                if message is not None:
                    dataset = message.dataset
                    kept = None if dataset is None else dataset.kept
                    self.whole.append((message.command, kept))


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Intake:
    spool = Spool(tmp_path_factory.mktemp("spool"), 0)
    return Intake(spool, lambda *_: ArrivalOutcome.STORED, lambda _: False, lambda *_: "")


@settings(deadline=None)
@given(
    st.binary(max_size=2000),
    st.lists(st.integers(0, 1 << 16), max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=6),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
def test_a_message_is_the_same_however_it_is_fragmented(
    intake: Intake, data: bytes, in_command: list[int], in_data: list[int], places: list[int]
) -> None:
    stream = b""
    for control, end, whole, at in (
        (COMMAND, COMMAND_END, COMMAND_SET, in_command),
        (DATASET, DATASET_END, data, in_data),
    ):
        parts = cut(whole, at) or [b""]
        stream += b"".join(p_data(1, control, each) for each in parts[:-1])
        stream += p_data(1, end, parts[-1])
    reading = Reading(intake)
    for kind, body in read(cut(stream * 2, places)):
        reading.take(kind, body)
    assert reading.whole == [(reading.whole[0][0], data)] * 2
    command = reading.whole[0][0]
    assert (command.sop_class_uid, command.sop_instance_uid) == (CT_IMAGE, "1.2.3")
    assert not reading.messages.is_amid


@settings(deadline=None)
@given(st.data())
def test_damaged_messages_raise_nothing_else(intake: Intake, data: st.DataObject) -> None:
    stream = bytearray(
        p_data(1, COMMAND_END, COMMAND_SET) + p_data(1, DATASET, b"x" * 20) + p_data(1, 2, b"y")
    )
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    reading = Reading(intake)
    try:
        for kind, body in read([bytes(stream)]):
            reading.take(kind, body)
    except ProtocolViolationError as error:
        assert isinstance(error, PduError) or error.abort is AbortReason.USER
    reading.messages.discard()


def test_a_command_without_end_is_cut(intake: Intake) -> None:
    reading = Reading(intake)
    with pytest.raises(MessageError, match="too long"):
        for _ in range(100):
            reading.take(P_DATA, p_data(1, COMMAND, b"\0" * 1000)[6:])


def test_two_fragments_in_one_packet(intake: Intake) -> None:
    value = struct.pack(">IBB", len(COMMAND_SET) + 2, 1, COMMAND_END) + COMMAND_SET
    value += struct.pack(">IBB", 5, 1, DATASET_END) + b"abc"
    reading = Reading(intake)
    reading.take(P_DATA, value)
    assert [kept for _, kept in reading.whole] == [b"abc"]
