"""Finds the study that an operator means."""

from __future__ import annotations

import re

from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.logs import uid_hash

_NAME = re.compile(r"(?:uid:)?([0-9a-f]{12})")
_SEARCHED = 100_000


def resolve_study(study: str, data_dir: DataDir, ledger: Ledger) -> str:
    """Turn the keyed name that logs and the status page show into a Study Instance UID.

    Everything else is taken for a UID and given back as it is.
    """
    named = _NAME.fullmatch(study)
    key = data_dir.path / "site.key"
    if named is None or not key.exists():
        return study
    secret = key.read_bytes()
    uids = (row.study_uid for row in ledger.recent_studies(_SEARCHED))
    return next((uid for uid in uids if uid_hash(secret, uid) == named[1]), study)
