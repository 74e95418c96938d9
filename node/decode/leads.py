"""Names of ECG leads from their codes."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from node.decode.attributes import items, text

# The last number is the same in both schemes (PS3.16 CID 3001; ISO/IEEE 11073-10101 Annex A).
_SUFFIXES = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7", 10: "V2R",
    11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z",
    61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 66: "V8", 67: "V9", 68: "V8R", 69: "V9R",
}  # fmt: skip
_PATTERNS = {"MDC": r"2:(\d{1,3})", "SCPECG": r"5\.6\.3-9-(\d{1,3})"}
_NAMES = {
    **{f"MDC_ECG_LEAD_{name.upper()}": name for name in _SUFFIXES.values()},
    **{f"MDC_ECG_ELEC_POTL_{name.upper()}": name for name in _SUFFIXES.values()},
}


def lead_name(channel: Dataset) -> str:
    """Return the lead that a channel records, as in ``aVR``.

    Parameters
    ----------
    channel
        An item of ChannelDefinitionSequence; the code of its ChannelSourceSequence decides, its
        meaning and the label are only for people (PS3.3 section 8.3).

    Returns
    -------
    Empty when the code is missing or unknown.
    """
    for source in items(channel, "ChannelSourceSequence"):
        value, scheme = text(source, "CodeValue"), text(source, "CodingSchemeDesignator")
        match = re.fullmatch(_PATTERNS.get(scheme, r"(?!)"), value)
        name = _SUFFIXES.get(int(match[1])) if match else _NAMES.get(value.upper())
        if name:
            return name
    return ""


def meaning_contradicts(channel: Dataset, name: str) -> bool:
    """Say whether the code's meaning names another lead than the code."""
    for source in items(channel, "ChannelSourceSequence"):
        words = re.split(r"[^A-Za-z0-9]+", text(source, "CodeMeaning"))
        named = [lead for lead in _SUFFIXES.values() if lead.upper() in [w.upper() for w in words]]
        if named:
            return name not in named
    return False
