"""Runs the node as a process of its own, as its users do, and kills it as no user would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydicom import dcmread

from node.arrival.part10 import read_head
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.ledger.records import StoredObject, StudyDetail

ROOT = Path(__file__).parent.parent
#: Loading the networks takes seconds, or a minute on a machine that is busy.
START_S = 180.0
_POLL_S = 0.05

Settings = Mapping[str, Any]


def free_port() -> int:
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_until(done: Callable[[], bool], within_s: float, what: str) -> None:
    """Look again and again until something is so.

    Raises
    ------
    TimeoutError
        It did not become so in time.
    """
    deadline = time.monotonic() + within_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(_POLL_S)


def run_cardionode(*arguments: str, within_s: float = START_S) -> subprocess.CompletedProcess[str]:
    """Run a command of the node to its end."""
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=within_s,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


def as_sent(path: Path) -> StoredObject:
    """An instance on disk as :class:`node.sending.c_store.CStoreSender` takes it."""
    with path.open("rb") as stream:
        head = read_head(stream.read(1 << 20))
    ds = dcmread(
        path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SeriesInstanceUID"]
    )
    return StoredObject(
        "capture", "sample", head.sop_class_uid, head.sop_instance_uid,
        str(ds.SeriesInstanceUID), str(ds.StudyInstanceUID), 1, "", path.stat().st_size, str(path),
    )  # fmt: skip


class NodeProcess:
    """``python -m node serve`` on a data directory that outlives it.

    Parameters
    ----------
    folder
        Gets the settings, the log, and the data directory ``var``.
    pacs_port
        Where the only destination listens, unless `destination` makes it a folder.
    settings
        More keys, by section.
    destination
        More keys of the destination.
    port
        Where it listens; a free one by default.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int,
        settings: Mapping[str, Settings] | None = None,
        *,
        destination: Settings | None = None,
        port: int | None = None,
    ) -> None:
        self.port = free_port() if port is None else port
        self.data_dir = DataDir(folder / "var")
        self.config = folder / "node.toml"
        self._log = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0
        sections: dict[str, dict[str, Any]] = {
            "node": {"data_dir": "var", "device": "cpu", "disk_reserve_mb": 64},
            "listen": {"port": self.port},
            "delivery": {"first_retry_s": 0.2, "max_retry_s": 2.0},
            "status_page": {"enabled": False},
        }
        for name, section in (settings or {}).items():
            sections.setdefault(name, {}).update(section)
        pacs: dict[str, Any] = {
            "name": "pacs", "kind": "c_store", "host": "127.0.0.1", "port": pacs_port,
            "ae_title": "PACS",
        }  # fmt: skip
        if (destination or {}).get("kind") == "folder":
            pacs = {"name": "folder"}
        lines = [line for name, each in sections.items() for line in _toml(f"[{name}]", each)]
        lines += _toml("[[destination]]", {**pacs, **(destination or {})})
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def log(self) -> str:
        """What all lives of the node wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether this life of the node has said that it listens."""
        with self._log.open("rb") as log:
            log.seek(self._began_at)
            return b"ready\n" in log.read()

    def spawn(self) -> None:
        """Start the node; it is not ready yet."""
        with self._log.open("ab") as log:
            self._began_at = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "node", "serve", "--config", str(self.config)],
                stdout=log, stderr=log, start_new_session=True, cwd=ROOT,
            )  # fmt: skip

    def start(self) -> None:
        """Start the node and wait until it listens."""
        self.spawn()
        wait_until(lambda: self.is_ready or not self.is_alive, START_S, "the node's start")
        if not self.is_alive:
            raise RuntimeError(f"the node did not start:\n{self.log[-2000:]}")

    @property
    def is_alive(self) -> bool:
        """Whether the node's control process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pids(self) -> list[int]:
        """Process ids of the node: of its control process, and of its children."""
        assert self._process is not None
        return [self._process.pid, *_descendants(self._process.pid)]

    def signal(self, number: int) -> None:
        """Send a signal to the node's control process."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask the node to end as an operator does, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(120)

    def kill(self, *, with_children: bool = True) -> list[int]:
        """SIGKILL, and reap.

        Parameters
        ----------
        with_children
            Else they have to notice by themselves.

        Returns
        -------
        Process ids of the children.
        """
        assert self._process is not None
        children = _descendants(self._process.pid)
        self._process.kill()
        if with_children:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        return children

    def end(self) -> None:
        """Leave nothing running, whatever the test came to."""
        if self.is_alive:
            self.kill()

    def counts(self) -> dict[str, dict[str, int]]:
        """What the ledger counts, read beside the running node."""
        with Ledger.open(self.data_dir.ledger, read_only=True) as ledger:
            return ledger.counts()

    def studies(self) -> list[StudyDetail]:
        """Everything in the ledger, oldest study first."""
        with Ledger.open(self.data_dir.ledger, read_only=True) as ledger:
            rows = reversed(ledger.recent_studies(10_000))
            details = [ledger.study(row.study_uid) for row in rows]
        return [detail for detail in details if detail is not None]

    def object_digests(self) -> set[str]:
        """SHA-256 of every result that is in a report, or is held for one."""
        with Ledger.open(self.data_dir.ledger, read_only=True) as ledger:
            return ledger.object_digests()

    def is_idle(self) -> bool:
        """Whether every study is complete and nothing waits or runs."""
        counts = self.counts()
        unfinished = [counts["jobs"][state] for state in ("waiting", "running", "retry")]
        unfinished += [counts["deliveries"][state] for state in ("waiting", "retry")]
        return not any(unfinished) and not counts["studies"]["open"]


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that only waits to be reaped does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _toml(head: str, table: Settings) -> list[str]:
    return [head, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
