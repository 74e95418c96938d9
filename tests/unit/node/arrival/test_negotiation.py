"""What a request for an association is answered."""

from __future__ import annotations

import random

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC

from node.arrival.identity import IMPLEMENTATION_CLASS_UID
from node.arrival.negotiation import AcceptedContext, Negotiator, RejectedError, negotiate
from node.arrival.violation import PduError
from tests.dicom_wire import CT_IMAGE, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION, associate_rq

QUERY = "1.2.840.10008.5.1.4.1.2.2.1"
REQUEST = associate_rq(
    [
        (1, VERIFICATION, [IMPLICIT_LE]),
        (3, CT_IMAGE, [EXPLICIT_LE, IMPLICIT_LE]),
        (5, QUERY, [IMPLICIT_LE]),
        (7, CT_IMAGE, ["1.2.840.10008.1.2.1.99"]),
    ],
    "ECHO1",
)


def test_contexts_and_what_we_are() -> None:
    negotiated = negotiate(REQUEST, 131_072)
    assert negotiated.calling_ae_title == "ECHO1"
    assert negotiated.max_pdu_bytes == 16_384
    assert negotiated.contexts == {
        1: AcceptedContext(VERIFICATION, IMPLICIT_LE),
        3: AcceptedContext(CT_IMAGE, EXPLICIT_LE),
    }
    answer = A_ASSOCIATE_AC()
    answer.decode(negotiated.answer)
    primitive = answer.to_primitive()
    results = {
        each.context_id: each.result
        for each in primitive.presentation_context_definition_results_list
    }
    assert results == {1: 0, 3: 0, 5: 3, 7: 4}  # PS3.8 table 9-18
    assert primitive.maximum_length_received == 131_072
    assert primitive.implementation_class_uid == IMPLEMENTATION_CLASS_UID


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        # The protocol's version is a set of bits, of which only the lowest is known.
        (REQUEST[:6] + b"\0\2" + REQUEST[8:], b"\0\1\2\2"),
        (REQUEST.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"), b"\0\1\1\2"),
    ],
)
def test_another_protocol_is_rejected(request_pdu: bytes, answer: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        negotiate(request_pdu, 16_384)
    assert caught.value.answer == b"\3\0\0\0\0\4" + answer


def test_a_later_version_beside_ours_is_taken() -> None:
    assert negotiate(REQUEST[:6] + b"\0\3" + REQUEST[8:], 16_384).contexts


def test_damaged_requests_raise_nothing_else() -> None:
    source = random.Random(11)
    damaged = 0
    for _ in range(400):
        changed = bytearray(REQUEST)
        for _ in range(source.randint(1, 4)):
            changed[source.randrange(6, len(changed))] = source.randrange(256)
        try:
            negotiate(bytes(changed), 16_384)
        except (PduError, RejectedError):
            damaged += 1
    assert damaged > 20


def test_a_request_that_comes_again_gets_the_same_answer() -> None:
    negotiator = Negotiator(131_072)
    first = negotiator.answer(REQUEST)
    assert negotiator.answer(bytes(REQUEST)) is first
    assert first == negotiate(REQUEST, 131_072)
    other = associate_rq([(1, VERIFICATION, [IMPLICIT_LE])], "ECHO2")
    assert negotiator.answer(other).calling_ae_title == "ECHO2"
    for _ in range(2):
        with pytest.raises(PduError):
            negotiator.answer(REQUEST[:80])
