"""A node as a process of its own, and what its ledger tells of one study."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from node.commands.demo_receiver import Receiver
from node.data_dir import DataDir
from node.errors import UnreachableError
from node.ledger import Ledger
from node.ledger_records import Event, StudyDetail
from node.ledger_states import DeliveryState, StudyState

_ROOT = Path(__file__).parents[2]
_START_S = 120.0
_WORK_S = 600.0
_POLL_S = 0.05


@dataclass(frozen=True)
class NodeProcess:
    """A node that runs.

    Attributes
    ----------
    port
        Of its listener.
    ledger
        Of its data directory.
    """

    port: int
    ledger: Path

    def wait_for(self, study_uid: str) -> StudyDetail:
        """Wait until every result of a study has been sent.

        Raises
        ------
        UnreachableError
            It took too long, or something was given up.
        """
        deadline = time.monotonic() + _WORK_S
        with Ledger.open(self.ledger, read_only=True) as ledger:
            while time.monotonic() < deadline:
                detail = ledger.study(study_uid)
                if detail is not None and _is_sent(detail):
                    return detail
                time.sleep(_POLL_S)
        raise UnreachableError("The node did not finish in time.")

    def events(self, study_uid: str) -> list[Event]:
        """What happened to a study, oldest first."""
        with Ledger.open(self.ledger, read_only=True) as ledger:
            return ledger.events(study_uid)


@contextmanager
def running_node(
    folder: Path, receiver: Receiver, quiet_s: float, device: str
) -> Iterator[NodeProcess]:
    """Start a node that sends to a receiver; end it with SIGTERM.

    Raises
    ------
    UnreachableError
        It did not start.
    """
    port, config, log = _free_port(), folder / "node.toml", folder / "node.log"
    lines = (
        "[node]", 'data_dir = "var"', f"device = {json.dumps(device)}", "disk_reserve_mb = 64",
        "[listen]", f"port = {port}",
        "[grouping]", f"quiet_s = {quiet_s}",
        "[status_page]", "enabled = false",
        "[[destination]]", 'name = "pacs"', 'kind = "c_store"', 'host = "127.0.0.1"',
        f"port = {receiver.address[1]}", 'ae_title = "DEMOPACS"',
    )  # fmt: skip
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with log.open("wb") as stream:
        node = subprocess.Popen(
            [sys.executable, "-m", "node", "serve", "--config", str(config)],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        try:
            _await_ready(node, log)
            yield NodeProcess(port, DataDir(folder / "var").ledger)
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait(60)


def stages(
    events: Sequence[Event], last_byte_at: float, report_stored_at: float
) -> dict[str, float]:
    """Divide the time from the last byte to the stored report; the parts add up to it.

    Parameters
    ----------
    events
        Of a study with one instance.
    last_byte_at, report_stored_at
        Epoch seconds.
    """
    marks = (
        ("arrival: check, fsync, ledger", _last(events, "instance", "received")),
        ("wait for a worker", _last(events, "analyse", "running")),
        ("analysis: decode, networks, captures", _last(events, "analyse", "done")),
        ("wait until the study counts as complete", _last(events, "study", "complete")),
        ("wait for a worker again", _last(events, "report", "running")),
        ("reports: build, validate, outbox", _last(events, "report", "done")),
        ("delivery", report_stored_at),
    )
    parts, before = {}, last_byte_at
    for name, at in marks:
        parts[name] = at - before
        before = at
    return parts


def _last(events: Sequence[Event], subject: str, what: str) -> float:
    return max(e.at for e in events if e.subject.startswith(subject) and e.what == what)


def _is_sent(detail: StudyDetail) -> bool:
    if any(d.state is DeliveryState.DEAD for d in detail.deliveries):
        raise UnreachableError("The node gave a delivery up.")
    sent = [d.state is DeliveryState.SENT for d in detail.deliveries]
    return detail.study.state is StudyState.COMPLETE and bool(sent) and all(sent)


def _await_ready(node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and node.poll() is None:
        if b"ready\n" in log.read_bytes():
            return
        time.sleep(_POLL_S)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise UnreachableError(f"The node did not start:\n{tail}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
