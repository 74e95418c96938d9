"""A receiver that runs in a folder of its own, and stands still while others are measured."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from tests.benchmarks.receive.corpus import Sent
from tests.benchmarks.receive.process_tree import cpu_s, family
from tests.benchmarks.receive.receivers import Receiver
from tests.benchmarks.receive.senders import NotTakenError, send
from tests.node_process import free_port

# The node loads its networks before it listens: a minute or more on a busy machine.
_START_S = 600.0
_DRAIN_S = 180.0
_IDLE_LOOK_S, _IDLE_CPU_S = 0.5, 0.03
_LOG = "log"


class Station:
    """One receiver for one round.

    Parameters
    ----------
    ground
        Gets the receiver's folder; whoever made it deletes it when everything is measured.
    """

    def __init__(self, receiver: Receiver, ground: Path) -> None:
        self.receiver = receiver
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{receiver.name}-", dir=ground))
        launch = receiver.prepare(self.folder, self.port)
        with (self.folder / _LOG).open("wb") as log:
            self._process = subprocess.Popen(
                launch.command, stdout=log, stderr=log, cwd=launch.folder, start_new_session=True,
                env=os.environ | dict(launch.environment),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process that was started; others may be its children."""
        return self._process.pid

    def start(self, warm_up: Sent) -> None:
        """Wait until it has taken an instance, then let it stand still.

        Raises
        ------
        NotTakenError
            It does not start, or does not take it.
        """
        self._wait_for_port()
        send([warm_up], "ecg", (self.port, self.receiver.ae_title), 1, nagle=False)
        self.drain()
        self._signal(signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run during a block."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def drain(self) -> None:
        """Wait until it rests: what it does after its answers must burden no other measurement."""
        deadline = time.monotonic() + _DRAIN_S
        before, now = -1.0, cpu_s(self.pid)
        while now - before > _IDLE_CPU_S and time.monotonic() < deadline:
            time.sleep(_IDLE_LOOK_S)
            before, now = now, cpu_s(self.pid)

    def missing(self, instances: Sequence[Sent]) -> str:
        """Say what it lacks of what it has acknowledged; nothing when all is there."""
        if not self.receiver.keeps:
            return ""
        found = self._kept()
        lost = [each for each in instances if each.sop_instance_uid not in found]
        changed = [
            each
            for each in instances
            if each.sop_instance_uid in found and not each.is_in(found[each.sop_instance_uid])
        ]
        problems = []
        if lost:
            problems.append(f"{len(lost)} of {len(instances)} acknowledged instances are lost")
        if changed:
            problems.append(f"{len(changed)} instances have other bytes")
        return "; ".join(problems)

    def end(self) -> None:
        """Kill it and free its space; what it has acknowledged was looked at before.

        The files stay until all is measured, empty: ext4 looks at every inode that was freed in
        the last minutes when it makes a file, which would cost the next ones 1 ms per instance.
        """
        self._signal(signal.SIGKILL)
        self._process.wait()
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.truncate(path, 0)

    def _kept(self) -> dict[str, Path]:
        found = {}
        for path in self.folder.rglob("*"):
            if path.is_file():
                with contextlib.suppress(InvalidDicomError):
                    ds = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
                    found[str(ds.SOPInstanceUID)] = path
        return found

    def _signal(self, number: signal.Signals) -> None:
        for pid in family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            address = ("127.0.0.1", self.port)
            with contextlib.suppress(OSError), socket.create_connection(address, 1.0):
                return
            time.sleep(0.05)
        said = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")[-400:]
        raise NotTakenError(f"it does not start: {said}")
