"""Derived UIDs: the same inputs give the same UID, so that sending a result again is harmless."""

from __future__ import annotations

import json
import uuid

DERIVED_ROOT = "2.25."
_NAMESPACE = uuid.UUID("6a1f0d52-7c3e-5b84-9e27-c0a5d1e0ca4d")


def derive_uid(*parts: str) -> str:
    """Derive a UID under the root 2.25 (PS3.5 Annex B.2) from what identifies a result.

    The usual parts are the study, the sorted SHA-256 digests of the inputs, the network's name,
    version and weights digest, the kind of the output and its index. Their order matters, and so
    does how their text is divided between them.

    Parameters
    ----------
    parts
        At least one text.

    Returns
    -------
    ``2.25.`` and the decimal value of a version 5 UUID, at most 44 characters.

    Raises
    ------
    ValueError
        Without any part.
    """
    if not parts:
        raise ValueError("a derived UID needs at least one part")
    # JSON keeps ("ab", "c") and ("a", "bc") apart
    return f"{DERIVED_ROOT}{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def is_derived(uid: str) -> bool:
    """Whether a UID may be one of ours; others use the same root, too."""
    return uid.startswith(DERIVED_ROOT)
