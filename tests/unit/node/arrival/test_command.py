"""Command sets: those of a library are understood, any others are an error, answers are read."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RQ, N_ACTION_RQ, N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import C_STORE, N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import decode, encode

from node.arrival.command import Command, CommandField, read_command, store_response
from node.arrival.violation import MessageError
from node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from tests.dicom_wire import CT_IMAGE, element, store_command


def encoded(primitive: C_STORE | N_ACTION | N_EVENT_REPORT) -> bytes:
    kinds = {C_STORE: C_STORE_RQ, N_ACTION: N_ACTION_RQ, N_EVENT_REPORT: N_EVENT_REPORT_RQ}
    message = kinds[type(primitive)]()
    message.primitive_to_message(primitive)
    return encode(message.command_set, True, True) or b""


def test_a_store_request_of_a_library() -> None:
    request = C_STORE()
    request.MessageID = 17
    request.AffectedSOPClassUID = UID(CT_IMAGE)
    request.AffectedSOPInstanceUID = UID("1.2.3")
    request.Priority = 2
    request.DataSet = BytesIO(b"x")
    assert read_command(5, encoded(request)) == Command(
        5, CommandField.C_STORE, 17, True, CT_IMAGE, "1.2.3", 0
    )


@pytest.mark.parametrize("field", [CommandField.N_ACTION, CommandField.N_EVENT_REPORT])
def test_commitment_requests_of_a_library(field: CommandField) -> None:
    request: N_ACTION | N_EVENT_REPORT
    if field == CommandField.N_ACTION:
        request = N_ACTION()
        request.RequestedSOPClassUID = UID(PUSH_MODEL)
        request.RequestedSOPInstanceUID = UID(PUSH_MODEL_INSTANCE)
        request.ActionTypeID = 1
    else:
        request = N_EVENT_REPORT()
        request.AffectedSOPClassUID = UID(PUSH_MODEL)
        request.AffectedSOPInstanceUID = UID(PUSH_MODEL_INSTANCE)
        request.EventTypeID = 2
    request.MessageID = 7
    kind = 1 if field == CommandField.N_ACTION else 2
    assert read_command(1, encoded(request)) == Command(
        1, field, 7, False, PUSH_MODEL, PUSH_MODEL_INSTANCE, kind
    )


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.3.4", "1." + "2" * 62])
@pytest.mark.parametrize("status", [0x0000, 0xA700, 0x0122])
def test_a_library_reads_the_answer(uid: str, status: int) -> None:
    command = Command(1, CommandField.C_STORE, 65_535, True, CT_IMAGE, uid, 0)
    answer = decode(BytesIO(store_response(command, CT_IMAGE, status)), True, True)
    assert answer.CommandGroupLength == len(store_response(command, CT_IMAGE, status)) - 12
    assert answer.CommandField == 0x8001
    assert answer.MessageIDBeingRespondedTo == 65_535
    assert answer.CommandDataSetType == 0x0101
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CT_IMAGE, uid)
    assert answer.Status == status


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2\\1.3", "", "1" * 65])
def test_what_is_no_uid_is_not_repeated(uid: str) -> None:
    command = Command(1, CommandField.C_STORE, 1, True, uid, uid, 0)
    answer: Dataset = decode(BytesIO(store_response(command, CT_IMAGE, 0xC000)), True, True)
    assert answer.AffectedSOPClassUID == CT_IMAGE
    assert "AffectedSOPInstanceUID" not in answer


COMMAND_SET = store_command(CT_IMAGE.encode(), b"1.2.3")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage garbage",
        COMMAND_SET[:-1],
        COMMAND_SET + b"\0" * 7,
        COMMAND_SET + element(0x0000, 0x0110, b"\1\0"),  # twice
        COMMAND_SET + element(0x0008, 0x0016, b"1.2"),  # of another group
        COMMAND_SET.replace(struct.pack("<HHI", 0, 0x0110, 2), struct.pack("<HHI", 0, 0x0111, 2)),
        COMMAND_SET.replace(struct.pack("<HHI", 0, 0x0800, 2), struct.pack("<HHI", 0, 0x0801, 2)),
        element(0, 0x0100, b"\1\0\0\0") + element(0, 0x0800, b"\1\0") + element(0, 0x0110, b"\1\0"),
    ],
)
def test_damaged(data: bytes) -> None:
    with pytest.raises(MessageError):
        read_command(1, data)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=300), st.just(COMMAND_SET)), st.data())
def test_any_bytes_are_a_command_or_an_error(raw: bytes, data: st.DataObject) -> None:
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 4)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        command = read_command(1, changed)
    except MessageError:
        return
    store_response(command, CT_IMAGE, 0xC000)  # whatever it names can be answered
