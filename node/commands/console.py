"""How the commands write to the operator's terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDE = 240


def stdout() -> Console:
    """For what was asked for; wide when it goes to another program, so that lines stay whole."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def stderr() -> Console:
    """For what went wrong."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        return console
    return Console(stderr=True, highlight=False, width=_WIDE)


def plain(value: object) -> Text:
    """A value as it is: no markup, and no control characters for the terminal to obey."""
    return Text(_CONTROL.sub("?", str(value)))


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table of plain values; one without rows says so."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name, header_style="dim", overflow="fold")
    for row in rows:
        made.add_row(*(plain(value) for value in row))
    if not made.row_count:
        made.add_row(Text("none", style="dim"))
    return made


def local_time(at: float | None) -> str:
    """A time of the ledger in the operator's time zone."""
    if at is None:
        return "-"
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", timespec="seconds")
