"""Patient keys keep patients apart and names in."""

from __future__ import annotations

from pydicom.uid import UID

from node.arrival.identity import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    patient_key,
)


def test_keys_differ_by_patient_issuer_and_site() -> None:
    keys = {
        patient_key(b"site", b"AB", b"C"),
        patient_key(b"site", b"A", b"BC"),
        patient_key(b"site", b"AB", b""),
        patient_key(b"site", b"\xc4B", b""),
        patient_key(b"site", b"\xd6B", b""),
        patient_key(b"other", b"AB", b"C"),
    }
    assert len(keys) == 6
    assert all(len(key) == 64 for key in keys)
    assert patient_key(b"site", b"AB", b"C") in keys


def test_an_unknown_patient_has_no_key() -> None:
    assert patient_key(b"site", b"", b"issuer") == ""


def test_the_implementation_is_named_within_the_standard() -> None:
    uid = UID(IMPLEMENTATION_CLASS_UID)
    assert uid.is_valid
    assert uid.startswith("2.25.")
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
