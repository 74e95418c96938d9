"""``cardionode retry``: tries again what was given up."""

from __future__ import annotations

from pathlib import Path

from node.commands.check_config import read_settings
from node.commands.console import plain, stdout
from node.commands.operator import perform
from node.commands.study_name import resolve_study
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.operator_requests import OperatorRequest


def retry(study: str | None, config: Path) -> int:
    """Try again the dead deliveries and failed jobs of one study, or of all.

    Returns
    -------
    The exit status 0; that there was nothing to do is no error.
    """
    data_dir = DataDir(read_settings(config).node.data_dir)
    study_uid = None
    if study is not None:
        with Ledger.open(data_dir.ledger, read_only=True) as ledger:
            study_uid = resolve_study(study, data_dir, ledger)
    count = perform(OperatorRequest("retry", study_uid), data_dir)
    said = f"{count} deliveries and jobs will be tried again." if count else "Nothing was given up."
    stdout().print(plain(said))
    return 0
