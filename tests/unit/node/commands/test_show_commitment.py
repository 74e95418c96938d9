"""``cardionode show`` tells whether the destination keeps what it got."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from node.__main__ import app
from node.commitment import CommitmentAnswer
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from tests.commitment_outbox import STUDY, deliver, judge, objects, queue


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_each_step_is_shown(tmp_path: Path) -> None:
    clock = Clock()
    with (
        DataDir(tmp_path / "var") as data_dir,
        Ledger.open(data_dir.ledger, clock) as ledger,
    ):
        queue(ledger, clock, objects(2))
        deliver(ledger)
        ledger.commitments.begin("pacs", "2.25.77", 10)
        answer = CommitmentAnswer("2.25.77", frozenset({f"{STUDY}.1"}), {f"{STUDY}.2": 0x0112})
        ledger.commitments.answered(answer, judge)
    config = tmp_path / "node.toml"
    config.write_text(f'[node]\ndata_dir = "{tmp_path / "var"}"\n')
    arguments = ["show", STUDY, "--config", str(config)]
    shown = (
        CliRunner().invoke(app, arguments, env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"}).stdout
    )
    assert "transaction 2.25.77" in shown
    assert "not committed: 0x0112: no such object instance" in shown
    assert "answered, asked" in shown
    assert "1 in vain" in shown
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    kept, lost = told["deliveries"]
    assert (kept["state"], kept["commitment"]["failure_reason"]) == ("committed", None)
    assert (lost["state"], lost["commitment"]["failure_reason"]) == ("retry", 0x0112)
