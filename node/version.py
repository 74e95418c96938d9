"""The node's version and the UID by which its results name it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def node_version() -> str:
    """The installed version, ``0+unknown`` in a checkout that was not installed."""
    try:
        return version("cardionode")
    except PackageNotFoundError:
        return "0+unknown"
