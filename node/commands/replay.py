"""``cardionode replay``: analyses a study again."""

from __future__ import annotations

from pathlib import Path

from node.commands.check_config import read_settings
from node.commands.console import plain, stdout
from node.commands.operator import perform
from node.commands.study_name import resolve_study
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.operator_requests import OperatorRequest


def replay(study: str, config: Path) -> int:
    """Analyse every instance of a study again; its next report is a new revision.

    Returns
    -------
    The exit status: 0, or 1 when there is nothing to analyse.
    """
    data_dir = DataDir(read_settings(config).node.data_dir)
    with Ledger.open(data_dir.ledger, read_only=True) as ledger:
        study_uid = resolve_study(study, data_dir, ledger)
    count = perform(OperatorRequest("replay", study_uid), data_dir)
    if not count:
        stdout().print(plain("The node has no such study, or none of it can be analysed."))
        return 1
    stdout().print(plain(f"{count} instances will be analysed again."))
    return 0
