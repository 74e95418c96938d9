"""A file system that has lost its power: what may be left of a recorded run.

The model is POSIX's, which allows more than any one file system does. A file's bytes are safe after
its fsync or fdatasync, a name after the fsync of its folder; of what came later any part may be on
the disk, whatever its order: a write as a whole, up to some byte, or as zeros, and of a rename the
new name with or without the old one, but never neither.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.syscalls import Call

_SECTOR_BYTES = 512


@dataclass
class Change:
    """Something that was not synced yet.

    Attributes
    ----------
    at
        Where bytes go; for a file's length, the new one.
    """

    kind: str  # "bytes", "length", "add", "remove"
    inode: int
    name: str = ""
    at: int = 0
    data: bytes = b""


@dataclass
class _Node:
    is_folder: bool
    safe: bytearray = field(default_factory=bytearray)
    names: dict[str, int] = field(default_factory=dict)
    #: What a running process sees, in order, and what of it is not safe.
    pending: list[Change] = field(default_factory=list)


class Disk:
    """Follows a run's calls below one folder.

    Parameters
    ----------
    root
        The folder; what lies there at the beginning is safe.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._nodes: dict[int, _Node] = {}
        self._offsets: dict[str, int] = {}
        #: What processes see: path to inode.
        self._seen: dict[str, int] = {}
        self._add_existing(root)

    def _add_existing(self, path: Path) -> int:
        number = len(self._nodes)
        node = self._nodes[number] = _Node(path.is_dir())
        self._seen[str(path)] = number
        if node.is_folder:
            node.names = {each.name: self._add_existing(each) for each in sorted(path.iterdir())}
        else:
            node.safe = bytearray(path.read_bytes())
        return number

    def apply(self, call: Call) -> None:
        """Take a call that has succeeded into account."""
        place = call.paths[0] if call.paths else ""
        texts = [text.decode("utf-8", "replace") for text in call.texts[:2]]
        if call.result < 0:
            return
        if call.name == "openat" and call.opened.startswith(self._root):
            self._opened(call)
        elif call.name == "mkdir" and texts[0].startswith(self._root):
            self._make(texts[0], is_folder=True)
        elif call.name == "rename" and texts[0].startswith(self._root):
            self._rename(*texts)
        elif call.name in ("unlink", "rmdir") and texts[0] in self._seen:
            self._remove(texts[0])
        elif place in self._seen:
            self._in_file(call, place)

    def _opened(self, call: Call) -> None:
        if "O_CREAT" in call.flags and call.opened not in self._seen:
            self._make(call.opened, is_folder=False)
        self._offsets[call.opened] = 0

    def _in_file(self, call: Call, place: str) -> None:
        node = self._nodes[number := self._seen[place]]
        if call.name in ("fsync", "fdatasync"):
            self._sync(node)
        elif call.name == "write":
            at = self._offsets.get(place, 0)
            self._offsets[place] = at + call.result
            node.pending.append(Change("bytes", number, at=at, data=call.texts[0][: call.result]))
        elif call.name == "pwrite64":
            at = int(call.flags.rsplit(",", 1)[1])
            node.pending.append(Change("bytes", number, at=at, data=call.texts[0][: call.result]))
        elif call.name == "ftruncate":
            node.pending.append(
                Change("length", number, at=int(call.flags.rsplit(",", 1)[1].rstrip(")")))
            )

    def _sync(self, node: _Node) -> None:
        for change in node.pending:
            _do(change, node)
        node.pending.clear()

    def _make(self, path: str, *, is_folder: bool) -> None:
        number = len(self._nodes)
        self._nodes[number] = _Node(is_folder)
        self._seen[path] = number
        self._folder(path).pending.append(Change("add", number, Path(path).name))

    def _rename(self, before: str, after: str) -> None:
        number = self._seen.pop(before)
        self._seen[after] = number
        self._folder(after).pending.append(Change("add", number, Path(after).name))
        self._folder(before).pending.append(Change("remove", number, Path(before).name))

    def _remove(self, path: str) -> None:
        number = self._seen.pop(path)
        self._folder(path).pending.append(Change("remove", number, Path(path).name))

    def _folder(self, path: str) -> _Node:
        return self._nodes[self._seen[str(Path(path).parent)]]

    @property
    def unsafe(self) -> list[Change]:
        """Everything that is not safe, in the order of files and folders."""
        return [change for node in self._nodes.values() for change in node.pending]

    def materialise(self, folder: Path, keep: Callable[[Change], Change | None]) -> None:
        """Make a folder as it may be after the power has come back.

        Parameters
        ----------
        keep
            What is left of a change that was not safe.
        """
        left: dict[int, _Node] = {}
        for number, node in self._nodes.items():
            copy = left[number] = _Node(node.is_folder, bytearray(node.safe), dict(node.names))
            if node.pending:
                for change in node.pending:
                    kept = keep(change)
                    if kept is not None:
                        _do(kept, copy)
        # A rename is one step of any journal: the old name goes only when the new one is there.
        self._keep_moved(left)
        _write(left, 0, folder)

    def _keep_moved(self, left: dict[int, _Node]) -> None:
        named = {number for node in left.values() for number in node.names.values()}
        for folder, node in self._nodes.items():
            for change in node.pending:
                moved = change.kind == "remove" and change.inode in self._seen.values()
                if moved and change.inode not in named:
                    left[folder].names[change.name] = change.inode


def _do(change: Change, node: _Node) -> None:
    if change.kind == "add":
        node.names[change.name] = change.inode
    elif change.kind == "remove":
        if node.names.get(change.name) == change.inode:
            del node.names[change.name]
    elif change.kind == "length":
        del node.safe[change.at :]
        node.safe.extend(b"\0" * (change.at - len(node.safe)))
    else:
        node.safe.extend(b"\0" * (change.at - len(node.safe)))
        node.safe[change.at : change.at + len(change.data)] = change.data


def _write(nodes: dict[int, _Node], number: int, path: Path) -> None:
    node = nodes[number]
    if not node.is_folder:
        path.write_bytes(node.safe)
        return
    path.mkdir(exist_ok=True)
    for name, inner in node.names.items():
        _write(nodes, inner, path / name)


Keep = Callable[[Change], Change | None]


def ways(unsafe: Sequence[Change], rng: random.Random, most: int) -> Iterable[tuple[str, Keep]]:
    """Ways in which changes that are not safe may have ended: nothing, all, and some at random."""
    yield "nothing", lambda _: None
    if not unsafe:
        return
    yield "all", lambda change: change
    for number in range(most):
        chosen = random.Random(rng.getrandbits(32))
        style = ("some", "torn", "zeros", "but one", "one")[number % 5]
        yield style, _keeper(style, unsafe, chosen)


def _keeper(style: str, unsafe: Sequence[Change], rng: random.Random) -> Keep:
    one = rng.choice(unsafe)
    share = rng.random()

    def keep(change: Change) -> Change | None:
        if style == "one":
            return change if change is one else None
        if style == "but one":
            return None if change is one else change
        if style == "some" or change.kind != "bytes":
            return change if rng.random() < share else None
        if style == "zeros":
            zeros = bytes(len(change.data))
            return change if rng.random() < share else _with(change, zeros)
        cut = rng.randrange(len(change.data) + 1)
        if rng.random() < 0.5:
            cut = cut // _SECTOR_BYTES * _SECTOR_BYTES
        return _with(change, change.data[:cut])

    return keep


def _with(change: Change, data: bytes) -> Change:
    return Change(change.kind, change.inode, change.name, change.at, data)
