"""``cardionode status``: how many instances, studies, jobs and others are in which state.

It also names findings that can't be made because their weights are missing.
"""

from __future__ import annotations

import json
from pathlib import Path

from node.commands.check_config import read_settings, weights_problems
from node.commands.console import plain, stdout
from node.data_dir import DataDir
from node.ledger.ledger import Ledger


def status(config: Path, *, as_json: bool) -> int:
    """Read the ledger, beside a running node or without one, and count.

    Raises
    ------
    LedgerError
        There is no ledger yet, or it can't be read.
    """
    settings = read_settings(config)
    with Ledger.open(DataDir(settings.node.data_dir).ledger, read_only=True) as ledger:
        counts = ledger.counts()
    problems = weights_problems(settings)
    console = stdout()
    if as_json:
        console.print(plain(json.dumps({**counts, "problems": problems})), soft_wrap=True)
        return 0
    for what, by_state in counts.items():
        shown = "  ".join(f"{state} {count}" for state, count in by_state.items())
        console.print(plain(f"{what:<11} {shown}"), soft_wrap=True)
    for problem in problems:
        console.print(plain(problem), soft_wrap=True)
    if counts["deliveries"].get("dead") or counts["jobs"].get("failed"):
        console.print(plain("Some work was given up: `cardionode retry --all` tries it again."))
    return 0
