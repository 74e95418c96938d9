"""The kinds of values that settings have, each with what is allowed."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MIB = 1 << 20


def _ae_title(value: str) -> str:
    # PS3.5 section 6.2, VR AE: the default repertoire without backslash and control characters.
    if not 1 <= len(value) <= 16 or not re.fullmatch(r"[ -\[\]-~]+", value) or not value.strip():
        raise ValueError("1 to 16 ASCII characters without backslash, not only spaces")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", value):
        raise ValueError("a host name or an IP address")
    return value


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError("an IP address, or a network such as 10.0.4.0/24") from None


def _sha256(value: str) -> str:
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ValueError("a SHA-256 fingerprint: 64 hex digits, colons between them allowed")
    return digits


def _path_or_none(value: object) -> object:
    return None if value == "" else value


AETitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Days = Annotated[float, Field(gt=0, le=3650)]
# Strings become paths, and lists tuples, though every other type must be exact.
TomlPath = Annotated[Path, Field(strict=False)]
OptionalPath = Annotated[Path | None, Field(strict=False), BeforeValidator(_path_or_none)]


class Section(BaseModel):
    """A table of the settings: frozen, with exact types, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
