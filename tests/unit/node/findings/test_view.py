"""Which instances pass the gate of the findings that need a view, and which findings that are."""

from __future__ import annotations

import numpy as np
import pytest

from models.inputs import Still
from node.errors import NotAnalysableError, NotApplicableError
from node.findings import FINDINGS, findings_for
from node.findings.base import Missed, Observation, Subject
from node.findings.view import required_view
from tests.unit.node.findings.test_aortic_stenosis import IMAGE, seen


def subject(view: Observation | None, missed: Missed | None = None) -> Subject:
    grey = np.zeros((8, 8), np.uint8)
    made = Subject(IMAGE, "still", Still(grey, np.zeros((8, 8, 3), np.uint8)))
    if view is not None:
        made.earlier["echo_view"] = view
    if missed is not None:
        made.missed["echo_view"] = missed
    return made


def test_a_certain_view_passes() -> None:
    assert required_view(subject(seen("A2C")), ("A4C", "A2C"), "")["view"] == "A2C"


@pytest.mark.parametrize(
    ("view", "missed", "error", "reason"),
    [
        (seen("PLAX"), None, NotApplicableError, "view PLAX: not apical"),
        (seen("A4C", 0.5), None, NotAnalysableError, "view uncertain: A4C 50 %"),
        (None, Missed(False, "no sector"), NotApplicableError, "no sector"),
        (None, Missed(True, "too dark"), NotAnalysableError, "the view is not known: too dark"),
        (None, None, NotAnalysableError, "the view is not known"),
    ],
)
def test_others_are_told_why(
    view: Observation | None, missed: Missed | None, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error) as caught:
        required_view(subject(view, missed), ("A4C", "A2C"), "not apical")
    assert str(caught.value) == reason


def test_every_finding_comes_after_those_that_it_needs() -> None:
    names = [finding.name for finding in FINDINGS]
    for at, finding in enumerate(FINDINGS):
        assert set(finding.needs) <= set(names[:at])


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ({"ejection_fraction"}, ["echo_view", "ejection_fraction"]),
        ({"stenosis_screening"}, ["stenosis_screening"]),
        ({"septal_flash", "echo_view"}, ["echo_view", "septal_flash"]),
        (set(), []),
    ],
)
def test_what_a_finding_needs_is_asked_with_it(wanted: set[str], asked: list[str]) -> None:
    assert [finding.name for finding in findings_for(wanted.__contains__)] == asked
