"""Any order of arrival ends in the same pairs; and ledgers from before there were pairs."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

import node.ledger
from node.ledger.ledger import Ledger
from tests.pairing_ledger import (
    RULE,
    VirtualClock,
    arrival,
    detail,
    outcome,
    pairings,
    partners,
    reports_due,
    take,
)  # fmt: skip

STUDIES = (
    arrival("1.1", 100),
    arrival("1.1.9", 104, born=""),
    arrival("1.2", 97),
    arrival("1.3", 103),
    arrival("1.4", 101, born="another day"),
    arrival("1.5", 120),
)


def _final(
    folder: Path, order: Sequence[int], between: Collection[int]
) -> tuple[dict[tuple[str | None, ...], float | None], dict[str, tuple[str, str]]]:
    clock = VirtualClock()
    with Ledger.open(folder / "ledger.sqlite", clock, pairing=RULE) as ledger:
        for step, number in enumerate(order):
            take(ledger, STUDIES[number])
            if step in between:
                reports_due(ledger, clock)
        reports_due(ledger, clock)
        live = {
            tuple(
                None if side is None else side.study_uid for side in (row.xray, row.ecg)
            ): row.distance_days
            for each in STUDIES
            for row in pairings(ledger, each.study_instance_uid)
            if row.state.value != "superseded"
        }
        told = {
            each.study_instance_uid: outcome(ledger, each.study_instance_uid) for each in STUDIES
        }
        assert reports_due(ledger, clock) == []
        return live, told


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    order=st.permutations(range(len(STUDIES))),
    between=st.sets(st.integers(0, len(STUDIES) - 1), max_size=2),
)
def test_any_order_of_arrival_ends_in_the_same_pairs(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], between: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("orders")
    live, told = _final(folder, order, between)
    assert live == {
        ("1.1", "1.2"): -3.0,
        ("1.1.9", "1.3"): -1.0,
        (None, "1.4"): None,
        (None, "1.5"): None,
    }
    assert told["1.1.9"] == ("analysed", "paired with an ECG 24 h before")
    assert told["1.5"][0] == "waiting"


def test_a_ledger_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path, clock = tmp_path / "ledger.sqlite", VirtualClock()
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option(
        "script_location",
        str(Path(node.ledger.__file__).parent / "migrations").replace("%", "%%"),
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO studies VALUES ('1.9', 'complete', 'aa', 0, 1, 1.0, 1.0, 2.0)")
        old.execute(
            "INSERT INTO instances VALUES (1, 'ab', 1, '1.2', '1.9.1', '1.9.0', '1.9', '1.2', 'US',"
            " 'ECHO', 0, 0, 'decoded', '', 1.0)"
        )
        old.execute(
            "INSERT INTO outcomes VALUES"
            " (1, 1, '1.9', 'echo_view', 'analysed', 'dim', '{}', 0.0, 1)"
        )
    old.close()
    with Ledger.open(path, clock, pairing=RULE) as ledger:
        (row,) = detail(ledger, "1.9").outcomes
        assert (row.outcome.finding, row.outcome.reason, row.reported_in) == ("echo_view", "dim", 1)
        take(ledger, arrival("1.1", 100))
        take(ledger, arrival("1.2", 98))
        assert partners(ledger) == ["1.2.1"]
    with sqlite3.connect(path) as checked:
        assert checked.execute("PRAGMA foreign_key_check").fetchall() == []
        assert checked.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    checked.close()
