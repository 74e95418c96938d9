"""Which patients are trained on, validated on and tested on.

A patient's part depends on the seed and the identity alone: it stays the same when a cohort grows,
and no patient is ever in two parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Literal, get_args

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def split_of(patient_id: int | str, seed: int = 0) -> Split:
    """Return the part of one patient: 80 % train, 10 % val, 10 % test."""
    position = position_of(patient_id, seed)
    for split in SPLITS:
        position -= _SHARES[split]
        if position < 0:
            return split
    return SPLITS[-1]


def position_of(identity: int | str, seed: int = 0) -> float:
    """Return a number from 0 to below 1 that depends on the identity alone."""
    digest = sha256(f"{seed}:{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def rows_of(patient_ids: Sequence[int | str], split: Split, seed: int = 0) -> list[int]:
    """Return the positions whose patient is in `split`."""
    return [row for row, who in enumerate(patient_ids) if split_of(who, seed) == split]
