"""Runs the small node in forked processes, so that each death costs milliseconds.

As a program it is the process that forks: it has loaded everything, waits for requests on its
standard input, and answers when the child has ended. As a module it is the side that asks.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from node.arrival.intake import StoreStatus
from tests.campaigns.faults import PythonFault, install
from tests.node_process import ROOT

_PR_SET_PTRACER = 0x59616D61
_RESENDS = 40
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes
    ----------
    signal
        What killed it, 0 when it ended by itself.
    acknowledged
        Digests of the instances whose senders were told success, by file name, in their order.
    refused
        How often a sender was told something else.
    failure
        Why it gave up, empty when it did not; "start" means that it refused to start.
    trace
        strace's log, empty without one.
    """

    signal: int
    acknowledged: dict[str, str]
    refused: int
    failure: str
    trace: str = ""


@dataclass
class Workshop:
    """Where children are forked; use it in a with statement."""

    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.forked"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_PATIENCE_S)
        self._process.stdout.close()

    def run(
        self,
        folder: Path,
        instances: Sequence[Path],
        *,
        strace: Sequence[str] = (),
        python: PythonFault | None = None,
        after_start: bool = False,
    ) -> Ended:
        """Run a small node on a folder until it has delivered everything, or dies.

        Parameters
        ----------
        strace
            Its arguments, when it shall watch or disturb the child.
        python
            A fault from within the child instead.
        after_start
            Whether the fault begins only when the node has started.
        """
        self._say(
            {
                "folder": str(folder),
                "instances": [str(path) for path in instances],
                "fault": python.to_json() if python is not None else None,
                "after_start": after_start,
                "gate": bool(strace),
            }
        )
        pid = int(self._hear()["pid"])
        with tempfile.TemporaryDirectory() as place:
            log = Path(place) / "trace"
            with _traced(pid, strace, log) if strace else contextlib.nullcontext():
                self._say({"go": True})
                said = self._hear()
            trace = log.read_text() if strace else ""
        return Ended(
            int(said["signal"]), dict(said["acknowledged"]), int(said["refused"]),
            str(said["failure"]), trace,
        )  # fmt: skip

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has died"
        return dict(json.loads(line))


def strace_problem() -> str:
    """Why strace can't be used here, empty when it can."""
    if shutil.which("strace") is None:
        return "needs: strace"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        tried = subprocess.Popen(
            ["strace", "-q", "-p", str(sleeper.pid)], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10.0
        while tried.poll() is None and not _is_traced(sleeper.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        is_traced = _is_traced(sleeper.pid)
        tried.terminate()
        tried.wait()
    finally:
        sleeper.kill()
        sleeper.wait()
    return "" if is_traced else "needs: ptrace, which this machine does not allow"


@contextmanager
def _traced(pid: int, arguments: Sequence[str], log: Path) -> Iterator[None]:
    command = ["strace", "-f", "-q", "-o", str(log), "-p", str(pid), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        while not _is_traced(pid):
            if strace.poll() is not None:
                assert strace.stderr is not None
                raise AssertionError(f"strace: {strace.stderr.read()}")
            time.sleep(0.001)
        yield
        strace.wait(_PATIENCE_S)


def _is_traced(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status


def _serve() -> None:
    """Fork a child for each request."""
    from tests.campaigns import small_node  # noqa: F401  - loaded once, for all children

    for line in sys.stdin:
        request = json.loads(line)
        ours, theirs = socket.socketpair()
        gate_read, gate_write = os.pipe()
        ready_read, ready_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            os.close(gate_write)
            _child(request, theirs, gate_read, ready_write)
        theirs.close()
        os.close(gate_read)
        os.close(ready_write)
        os.read(ready_read, 1)
        os.close(ready_read)
        _print({"pid": pid})
        sys.stdin.readline()
        with contextlib.suppress(BrokenPipeError):  # It did not even start.
            os.write(gate_write, b"\0")
        os.close(gate_write)
        with ours, ours.makefile() as stream:
            lines = [json.loads(each) for each in stream if each.endswith("\n")]
        _, status = os.waitpid(pid, 0)
        answers = [each for each in lines if "name" in each]
        good = [each for each in answers if each["status"] == int(StoreStatus.SUCCESS)]
        _print(
            {
                "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                "acknowledged": [(each["name"], each["sha256"]) for each in good],
                "refused": len(answers) - len(good),
                "failure": "".join(each.get("failure", "") for each in lines),
            }
        )


def _print(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _child(request: dict[str, Any], line: socket.socket, gate: int, ready: int) -> None:
    """Be a small node; never returns."""
    failure = ""
    try:
        # Whoever may trace may trace this one: by default only an ancestor may.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        failure = _live(request, line, gate, ready)
    except BaseException:  # noqa: BLE001  - the child's end: the test reads what it was
        failure = traceback.format_exc()
    if failure:
        line.sendall((json.dumps({"failure": failure}) + "\n").encode())
    os._exit(0)


def _live(request: dict[str, Any], line: socket.socket, gate: int, ready: int) -> str:
    from node.errors import CardionodeError
    from tests.campaigns.small_node import SmallNode

    # Room for a table of files that runs out in the test, not here.
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    fault = PythonFault.from_json(request["fault"]) if request["fault"] else None

    def begin() -> None:
        os.close(ready)
        os.read(gate, 1)
        if fault is not None:
            install(fault)

    def told(name: str, status: StoreStatus, sha256: str) -> None:
        said = {"name": name, "status": int(status), "sha256": sha256}
        line.sendall((json.dumps(said) + "\n").encode())

    if not request["after_start"]:
        begin()
    try:
        node = SmallNode(Path(request["folder"]))
    except (CardionodeError, OSError) as error:
        return f"start: {type(error).__name__}"
    if request["after_start"]:
        begin()
    left = [Path(each) for each in request["instances"]]
    for attempt in range(_RESENDS):
        left = node.receive(left, told)
        if not left:
            break
        time.sleep(min(0.01 * attempt, 0.1))
    else:
        return "instances are refused for ever"
    if not node.work():
        return f"not everything was delivered: {node.ledger.counts()}"
    node.close()
    return ""


if __name__ == "__main__":
    _serve()
