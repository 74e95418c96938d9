"""Tolerant reading of single attributes: what is missing or malformed is None, never an error."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

# What pydicom raises when it converts a damaged value.
_DAMAGED = (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, struct.error,
            NotImplementedError)  # fmt: skip
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")


def value_of(ds: Dataset, keyword: str) -> Any:
    """Return the value of an attribute, None when it is absent, empty or can't be read."""
    try:
        value = ds.get(keyword)
    except _DAMAGED:
        return None
    return None if value is None or value == "" else value


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of a numeric attribute; empty when one of them is not a finite number."""
    value = value_of(ds, keyword)
    if value is None:
        return ()
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    try:
        found = tuple(float(item) for item in values)
    except _DAMAGED:
        return ()
    return found if all(math.isfinite(item) for item in found) else ()


def number(ds: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric attribute, None when there is no finite one."""
    found = numbers(ds, keyword)
    return found[0] if found else None


def integer(ds: Dataset, keyword: str) -> int | None:
    """Return the first value of a numeric attribute when it is whole, else None."""
    found = number(ds, keyword)
    return int(found) if found is not None and found == int(found) else None


def texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of a text attribute, stripped."""
    value = value_of(ds, keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    return tuple(str(item).strip() for item in values)


def text(ds: Dataset, keyword: str) -> str:
    """Return the first value of a text attribute, stripped; empty when absent."""
    found = texts(ds, keyword)
    return found[0] if found else ""


def code_strings(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of VR CS in upper case; a value that breaks the VR becomes empty."""
    upper = (item.upper() for item in texts(ds, keyword))
    return tuple(item if _CODE_STRING.fullmatch(item) else "" for item in upper)


def code_string(ds: Dataset, keyword: str) -> str:
    """Return the first value of VR CS in upper case; empty when absent or not a code."""
    found = code_strings(ds, keyword)
    return found[0] if found else ""


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; empty when it is absent or not a sequence."""
    value = value_of(ds, keyword)
    if value is None or isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return []
    return [item for item in value if isinstance(item, Dataset)]
