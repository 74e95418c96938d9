"""Answers about storage commitment are read whole, and nothing else gets through."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence
from pynetdicom.dsutils import encode

from node.commitment import (
    MAX_ANSWER_BYTES,
    MOST_REFERENCES,
    MissingTransactionError,
    is_permanent_reason,
    random_uid,
    read_answer,
    reason_words,
)
from node.errors import BadObjectError

UIDS = st.integers(min_value=1, max_value=2**128).map(lambda n: f"2.25.{n}")


def information(
    transaction: str | None,
    committed: list[str],
    failed: dict[str, int],
    *,
    delimited: bool = False,
    nested: bool = False,
) -> Dataset:
    ds = Dataset()
    ds.RetrieveAETitle = "PACS"
    if transaction is not None:
        ds.TransactionUID = transaction
    if committed:
        ds.ReferencedSOPSequence = Sequence([_reference(uid, nested) for uid in committed])
    if failed:
        items = [_reference(uid, nested) for uid in failed]
        for item, reason in zip(items, failed.values(), strict=True):
            item.FailureReason = reason
        ds.FailedSOPSequence = Sequence(items)
    if delimited:
        for element in ds:
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    return ds


def _reference(uid: str, nested: bool) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
    item.ReferencedSOPInstanceUID = uid
    if nested:
        inner = Dataset()
        inner.ReferencedSOPInstanceUID = "1.2.3"
        item.PurposeOfReferenceCodeSequence = Sequence([inner])
        item["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    return item


def encoded(ds: Dataset, implicit: bool) -> bytes:
    data = encode(ds, implicit, True)
    assert data is not None
    return data


# the machine that runs this may be busy
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@UNHURRIED
@given(
    transaction=UIDS,
    committed=st.lists(UIDS, max_size=5, unique=True),
    failed=st.dictionaries(UIDS, st.integers(0, 0xFFFF), max_size=5),
    implicit=st.booleans(),
    delimited=st.booleans(),
    nested=st.booleans(),
)
def test_whatever_pydicom_writes_is_read(
    transaction: str,
    committed: list[str],
    failed: dict[str, int],
    implicit: bool,
    delimited: bool,
    nested: bool,
) -> None:
    ds = information(transaction, committed, failed, delimited=delimited, nested=nested)
    answer = read_answer(encoded(ds, implicit), implicit=implicit)
    assert answer.transaction_uid == transaction
    assert answer.committed == set(committed) - set(failed)
    assert answer.failed == failed


def test_what_is_both_committed_and_failed_has_failed() -> None:
    answer = read_answer(
        encoded(information("2.25.1", ["2.25.2"], {"2.25.2": 0x0112}), True), implicit=True
    )
    assert (answer.committed, answer.failed) == (frozenset(), {"2.25.2": 0x0112})


def test_many_more_references_than_a_request_has_are_read() -> None:
    uids = [f"2.25.{10**37 + n}" for n in range(5 * MOST_REFERENCES)]
    data = encoded(information("2.25.1", uids, {}, delimited=True), False)
    assert len(data) < MAX_ANSWER_BYTES
    assert len(read_answer(data, implicit=False).committed) == len(uids)


@pytest.mark.parametrize("implicit", [True, False])
def test_an_answer_to_nothing(implicit: bool) -> None:
    with pytest.raises(MissingTransactionError):
        read_answer(encoded(information(None, ["2.25.1"], {}), implicit), implicit=implicit)
    with pytest.raises(MissingTransactionError):
        read_answer(b"", implicit=implicit)


@UNHURRIED
@given(
    cut=st.integers(0, 400),
    at=st.integers(0, 400),
    value=st.integers(0, 255),
    implicit=st.booleans(),
    delimited=st.booleans(),
)
def test_damaged_answers_are_refused_or_read(
    cut: int, at: int, value: int, implicit: bool, delimited: bool
) -> None:
    ds = information("2.25.1", ["2.25.2", "2.25.3"], {"2.25.4": 0x0112}, delimited=delimited)
    data = bytearray(encoded(ds, implicit))
    data[at % len(data)] = value
    with contextlib.suppress(BadObjectError):
        read_answer(bytes(data[: len(data) - cut % len(data)]), implicit=implicit)


@UNHURRIED
@given(data=st.binary(max_size=200), implicit=st.booleans())
def test_any_bytes_are_refused_or_read(data: bytes, implicit: bool) -> None:
    with contextlib.suppress(BadObjectError):
        read_answer(data, implicit=implicit)


def test_limits() -> None:
    with pytest.raises(BadObjectError, match="too long"):
        read_answer(bytes(MAX_ANSWER_BYTES + 1), implicit=True)
    opened = b"\x40\x00\x70\xa1\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(BadObjectError, match="nested deeper"):
        read_answer(opened * 5000, implicit=True)
    empty_items = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 30_000
    head = b"\x40\x00\x70\xa1\xff\xff\xff\xff"
    with pytest.raises(BadObjectError, match="too many items"):
        read_answer(head + empty_items, implicit=True)


@pytest.mark.parametrize("uid", ["1.2.x", "1" * 65, "../1"])
def test_uids_that_are_none_are_refused(uid: str) -> None:
    data = encoded(information("2.25.1", ["2.25.777"], {}), True)
    padded = uid.encode()[:8].ljust(8, b"\0") if len(uid) < 65 else uid.encode()
    broken = data.replace(b"2.25.777", padded)
    with pytest.raises(BadObjectError):
        read_answer(broken, implicit=True)


def test_reasons() -> None:
    assert reason_words(0x0112) == "0x0112: no such object instance"
    assert reason_words(0x4711) == "0x4711: a reason that the standard does not know"
    codes = (0x0110, 0x0112, 0x0119, 0x0122, 0x0131, 0x0213)
    assert [code for code in codes if is_permanent_reason(code)] == [0x0119, 0x0122]


def test_transaction_uids_are_valid_and_differ() -> None:
    made = {random_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in made)
