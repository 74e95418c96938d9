"""Derived UIDs: stable, valid, different for different inputs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from node.results.uids import derive_uid, is_derived


def test_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert derive_uid("study", "sr") == "2.25.214383987865682795131326414456068582295"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_is_a_valid_uid(parts: list[str]) -> None:
    uid = UID(derive_uid(*parts))
    assert uid.is_valid
    assert len(uid) <= 44
    assert is_derived(uid)


def test_what_senders_make_is_none_of_ours() -> None:
    assert not is_derived("1.2.840.113619.2.55.3")


def test_the_division_of_the_text_matters() -> None:
    assert derive_uid("ab", "c") != derive_uid("a", "bc")
    assert derive_uid("a", "b") != derive_uid("b", "a")


def test_needs_a_part() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        derive_uid()
