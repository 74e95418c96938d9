"""The rule of pairing: patient, date of birth, window, the nearest, and ties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.pairing import (
    Candidate,
    PairingRule,
    Role,
    choose_ecg,
    distance_days,
    distance_words,
    obstacle,
)

DAY = 86_400.0
RULE = PairingRule(window_days=7.0)
XRAY = Candidate(1, "patient", "born", 1000 * DAY, "1.1")


def ecg(number: int, days: float, **changes: object) -> Candidate:
    made = Candidate(number, "patient", "born", (1000 + days) * DAY, f"1.2.{number}")
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        ([ecg(2, 3), ecg(3, -2), ecg(4, 6)], 3),
        ([ecg(2, 7)], 2),
        ([ecg(2, -7)], 2),
        ([ecg(2, 7 + 1 / DAY)], None),
        ([ecg(2, -7 - 1 / DAY)], None),
        ([ecg(2, 2), ecg(3, -2)], 3),  # equally near: the earlier one
        ([ecg(3, 2), ecg(2, 2)], 2),  # the same moment: by UID
        ([ecg(2, 0, patient_key="another")], None),
        ([ecg(2, 0, patient_key="")], None),
        ([ecg(2, 0, birth_key="another day")], None),
        ([ecg(2, 0, birth_key="")], 2),  # one of them has none
        ([ecg(2, 0, acquired_at=None)], None),
        ([ecg(2, 0, birth_key="another day"), ecg(3, 5)], 3),
    ],
)
def test_the_nearest_ecg_of_the_patient(offered: list[Candidate], chosen: int | None) -> None:
    found = choose_ecg(XRAY, offered, RULE)
    assert (None if found is None else found.instance_id) == chosen


@given(
    st.lists(
        st.tuples(
            st.sampled_from([-8.0, -7.0, -2.0, -1.5, 0.0, 1.5, 2.0, 7.0, 8.0]),
            st.sampled_from(["born", "", "another day"]),
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_no_order_and_no_number_in_the_ledger_has_a_part_in_it(
    drawn: list[tuple[float, str]], shuffle: object
) -> None:
    offered = [
        ecg(number, days, birth_key=born) for number, (days, born) in enumerate(drawn, start=2)
    ]
    found = choose_ecg(XRAY, offered, RULE)
    renumbered = [replace(each, instance_id=100 - each.instance_id) for each in offered]
    shuffle.shuffle(renumbered)  # type: ignore[attr-defined]
    again = choose_ecg(XRAY, renumbered, RULE)
    assert (found and found.sop_instance_uid) == (again and again.sop_instance_uid)
    allowed = [
        abs(days)
        for each in offered
        if (days := distance_days(each, XRAY)) is not None and abs(days) <= 7
    ]
    if found is None:
        assert allowed == []
    else:
        assert abs(distance_days(found, XRAY) or 0.0) == min(allowed)


def test_what_can_never_be_paired_says_why() -> None:
    assert obstacle(XRAY) == ""
    assert "PatientID" in obstacle(replace(XRAY, patient_key=""))
    assert "date of acquisition" in obstacle(replace(XRAY, acquired_at=None))
    assert choose_ecg(replace(XRAY, acquired_at=None), [ecg(2, 0)], RULE) is None


def test_distances_in_words() -> None:
    assert distance_words(-2.14, Role.ECG) == "an ECG 2.1 days before"
    assert distance_words(0.25, Role.ECG) == "an ECG 6 h after"
    assert distance_words(0.25, Role.XRAY) == "a chest X-ray 6 h before"
    assert distance_words(0.001, Role.XRAY) == "a chest X-ray at the same time"
