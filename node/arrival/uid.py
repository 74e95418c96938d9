"""What may pass as a UID."""

from __future__ import annotations

import re

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)


def is_uid(text: str) -> bool:
    """Tell whether a text is safe to treat as a UID: PS3.5 section 9.1, but leading zeros may be.

    Real senders write components with leading zeros; refusing them would lose their images.
    """
    return 0 < len(text) <= 64 and _UID.fullmatch(text) is not None
