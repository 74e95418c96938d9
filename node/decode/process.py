"""The node's side of one decoder process: start it, ask it, judge how it ended."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import node
from node.decode.limits import Limits
from node.errors import DecoderDiedError

_START_S = 60.0
_LARGEST_ANSWER_BYTES = 16 << 20


class DecoderProcess:
    """One child, used by one thread at a time; only :meth:`kill` is for others.

    Parameters
    ----------
    limits
        Enforced by the child on itself, the time also from here.
    timeout_s
        Wall-clock time for one instance.
    """

    def __init__(self, limits: Limits, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ready = False
        root = Path(node.__file__).resolve().parent.parent
        search = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {
            "PYTHONPATH": search,
            # Threads of numeric libraries reserve address space and gain nothing here.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "node.decode.child", json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            # Ctrl-C in the operator's terminal is for the node, which then closes its children.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, path: Path, scratch: Path) -> dict[str, Any]:
        """Have one instance examined.

        Parameters
        ----------
        path
            The instance.
        scratch
            Where the child puts the arrays.

        Raises
        ------
        DecoderDiedError
            The child died, or took too long and was killed; it can't be used again.
        """
        try:
            if not self._ready:
                self._receive(_START_S, "the decoder did not start")
                self._ready = True
            request = json.dumps({"path": str(path.resolve()), "scratch": str(scratch.resolve())})
            self._write(request.encode() + b"\n")
            return self._receive(
                self._timeout_s, f"decoding took longer than {self._timeout_s:g} s"
            )
        except DecoderDiedError:
            self.discard()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether the child has not ended, as far as is known."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the child at once; from any thread."""
        self._process.kill()

    def discard(self) -> None:
        """End the child, reap it and close its pipes; only by the thread that uses it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a request that was never read
                    continue

    def _write(self, request: bytes) -> None:
        if self._process.stdin is None:
            raise DecoderDiedError
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise DecoderDiedError(self._how_it_ended()) from None

    def _receive(self, timeout_s: float, too_late: str) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        (length,) = struct.unpack("<I", self._read(4, deadline, too_late))
        if length > _LARGEST_ANSWER_BYTES:
            raise DecoderDiedError("the decoder answered nonsense")
        try:
            answer = json.loads(self._read(length, deadline, too_late))
        except ValueError:
            raise DecoderDiedError("the decoder answered nonsense") from None
        if not isinstance(answer, dict):
            raise DecoderDiedError("the decoder answered nonsense")
        return answer

    def _read(self, size: int, deadline: float, too_late: str) -> bytes:
        if self._process.stdout is None:
            raise DecoderDiedError
        try:
            fd = self._process.stdout.fileno()
            readable = select.poll()
            readable.register(fd, select.POLLIN | select.POLLHUP)
            received = b""
            while len(received) < size:
                left_ms = (deadline - time.monotonic()) * 1000.0
                if left_ms <= 0 or not readable.poll(left_ms):
                    raise DecoderDiedError(too_late)
                block = os.read(fd, size - len(received))
                if not block:
                    raise DecoderDiedError(self._how_it_ended())
                received += block
        except (OSError, ValueError):
            raise DecoderDiedError(self._how_it_ended()) from None
        return received

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return "the decoder stopped answering"
        if code == -signal.SIGXCPU:
            return "the decoder used up its processor time"
        if code < 0:
            return f"the decoder was ended by {signal.Signals(-code).name}"
        return f"the decoder ended with exit status {code}"
