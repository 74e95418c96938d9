"""The catalogue of bad input names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
_ROW = re.compile(r"\| (\d+) \|.*\| ([^|]*) \|")
CASES = {*range(1, 56), *range(79, 83)}


def test_every_case_has_tests_that_are_there() -> None:
    rows = _ROW.findall((TESTS / "CATALOGUE.md").read_text(encoding="utf-8"))
    assert {int(number) for number, _ in rows} == CASES
    for number, named in rows:
        tests = named.split()
        assert tests, number
        for test in tests:
            path, _, name = test.partition("::")
            code = (TESTS / path).read_text(encoding="utf-8")
            assert f"\ndef {name}(" in code, f"case {number}: {test}"
