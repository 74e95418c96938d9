"""Splits: by patient, stable, in the right shares."""

from __future__ import annotations

from train.splits import SPLITS, rows_of, split_of


def test_every_patient_is_in_one_part() -> None:
    patients = [p for p in range(500) for _ in range(2)]
    parts = {split: {patients[r] for r in rows_of(patients, split)} for split in SPLITS}
    assert sum(len(p) for p in parts.values()) == 500
    assert set().union(*parts.values()) == set(range(500))
    assert 0.75 < len(parts["train"]) / 500 < 0.85


def test_a_part_does_not_change_when_the_cohort_grows() -> None:
    assert rows_of(range(100), "test") == [r for r in rows_of(range(1000), "test") if r < 100]


def test_the_seed_decides() -> None:
    assert [split_of(p, 0) for p in range(50)] != [split_of(p, 1) for p in range(50)]
