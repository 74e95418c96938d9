"""Reads strace's log: what was written, synced, renamed and answered, in its order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)(?P<after>.*)", re.S)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_OPENED = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
#: strace's own arguments for a log that this module can read.
ARGUMENTS = ("-y", "-xx", "-s", "1000000")


@dataclass(frozen=True)
class Call:
    """One system call that has returned.

    Attributes
    ----------
    paths
        Of its descriptors and arguments, in order.
    texts
        Its string arguments.
    numbers
        Its arguments from the last to the first, as far as they are numbers.
    is_injected
        Whether its result is strace's, not the system's.
    """

    name: str
    paths: tuple[str, ...]
    texts: tuple[bytes, ...]
    flags: str
    result: int
    is_injected: bool
    opened: str = ""


def calls(log: str) -> Iterator[Call]:
    """The calls of a log in the order of their ends."""
    begun: dict[str, str] = {}
    for line in log.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        pid, rest = found["pid"], found["rest"]
        if rest.endswith(_UNFINISHED):
            begun[pid] = rest.removesuffix(_UNFINISHED)
            continue
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            rest = begun.pop(pid, "") + resumed[2].lstrip()
        call = _CALL.match(rest)
        if call is not None:
            yield _call(call)


def _call(call: re.Match[str]) -> Call:
    arguments = call["arguments"]
    outside = _TEXT.sub("", arguments)
    opened = _OPENED.match(call["result"] + call["after"])
    return Call(
        call["name"],
        tuple(_bytes(each).decode() for each in _OPENED.findall(outside)),
        tuple(_bytes(text) for text, _ in _TEXT.findall(arguments)),
        outside,
        int(call["result"]),
        "(INJECTED)" in call["after"],
        _bytes(opened[1]).decode() if opened else "",
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def undurable_answers(log: str) -> list[str]:
    """Digests of what was acknowledged before it was on stable storage, by a log of the calls.

    On stable storage means: the part was synced after its last write, got its name, the name's
    folder was synced, and after that the ledger's log was.
    """
    dirty: set[str] = set()
    named: dict[str, str] = {}
    safe: set[str] = set()
    committed: set[str] = set()
    wrong = []
    for call in calls(log):
        where = call.paths[0] if call.paths else ""
        if call.name in ("write", "pwrite64") and where.endswith((".part", "-wal")):
            dirty.add(where)
        elif call.result < 0:
            continue
        elif call.name == "fdatasync":
            dirty.discard(where)
            if where.endswith("-wal"):
                committed |= safe
        elif call.name == "rename":
            before, after = (text.decode() for text in call.texts)
            if before not in dirty:
                named[after] = after.rpartition("/")[0]
        elif call.name == "fsync":
            safe |= {blob for blob, folder in named.items() if folder == where}
        elif call.name == "sendto":
            said = json.loads(call.texts[0])
            digest = said.get("sha256")
            done = any(blob.endswith(f"/{digest}.dcm") for blob in committed)
            if said.get("status") == 0 and not done:
                wrong.append(str(digest))
    return wrong
