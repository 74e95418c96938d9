"""Codes agree with the standard's dictionary."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from node.results import codes
from node.results.primitives import Code

ALL = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}


@pytest.mark.parametrize("name", [n for n, c in ALL.items() if c.scheme != codes.PRIVATE_SCHEME])
def test_standard_codes_exist(name: str) -> None:
    code = ALL[name]
    if code.scheme == "UMLS":  # PS3.16 TID 1500 names it, the dictionary has no UMLS
        return
    entries: dict[str, dict[str, object]] = concepts[code.scheme]  # type: ignore[assignment]
    assert any(code.value in values for values in entries.values())


def test_private_codes_fit_their_attributes() -> None:
    assert len(codes.PRIVATE_SCHEME) <= 16
    for code in ALL.values():
        assert len(code.value) <= 16
        assert len(code.meaning) <= 64


def test_codes_are_unique() -> None:
    assert len({(code.scheme, code.value) for code in ALL.values()}) == len(ALL)
