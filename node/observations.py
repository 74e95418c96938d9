"""Observations as the ledger keeps them: JSON text."""

from __future__ import annotations

import json

from node.findings.base import Observation


def to_text(observation: Observation) -> str:
    """Write an observation; keys in order, so that equal ones have equal texts."""
    return json.dumps(observation, sort_keys=True, allow_nan=False)


def from_text(text: str | None) -> Observation:
    """Read what :func:`to_text` wrote; nothing for no text."""
    read: Observation = json.loads(text) if text else {}
    return read
