"""The decoder children: hands instances to them, and replaces those that die."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
from pathlib import Path
from typing import Any

from node.decode import answer
from node.decode.examined import Examined
from node.decode.limits import Limits
from node.decode.process import DecoderProcess
from node.decode.scratch import MappedScratch
from node.errors import BadObjectError, DecoderDiedError, StorageFailedError, StorageFullError

_MIB = 1 << 20
_INSTANCES_PER_CHILD = 500  # what a native library leaks, ends with its process
_SCRATCH_SUFFIX = ".decoded"


class DecodePool:
    """A fixed number of decoder children, used from any number of threads.

    Parameters
    ----------
    children
        How many instances are decoded at the same time; further callers wait.
    memory_mb
        Memory that a child may use beyond its libraries.
    timeout_s
        Time for one instance, on the wall and on the processor.
    max_decoded_mb
        Largest decoded size of one instance.
    scratch
        Folder for arrays on their way to this process, best in memory (``/dev/shm``). It belongs
        to this pool alone: what a killed node left there is removed.
    """

    def __init__(
        self, children: int, memory_mb: int, timeout_s: float, max_decoded_mb: int, scratch: Path
    ) -> None:
        self._limits = Limits(memory_mb * _MIB, timeout_s, max_decoded_mb * _MIB)
        self._timeout_s = timeout_s
        self._scratch = scratch
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in scratch.glob(f"*{_SCRATCH_SUFFIX}"):
            left.unlink(missing_ok=True)
        self._lock = threading.Lock()
        self._closed = False
        self._slots = [_Slot(self._start()) for _ in range(children)]
        # Last in, first out: a quiet node keeps one child warm instead of all of them.
        self._idle: queue.LifoQueue[_Slot] = queue.LifoQueue()
        for slot in self._slots:
            self._idle.put(slot)

    @property
    def child_pids(self) -> tuple[int, ...]:
        """Process ids of the children."""
        return tuple(slot.process.pid for slot in self._slots)

    def decode(self, path: Path) -> Examined:
        """Examine one instance in a child.

        Parameters
        ----------
        path
            A DICOM Part 10 file.

        Returns
        -------
        Its facts, and the typed input when there is no obstacle. The arrays belong to the caller.

        Raises
        ------
        BadObjectError
            The object contradicts itself, the standard or the limits.
        DecoderDiedError
            The child died, ran out of memory or of time; it has been replaced.
        StorageFullError
            There is no room in the scratch folder.
        StorageFailedError
            The instance could not be read, for a reason that may pass.
        FileNotFoundError
            There is no such instance.
        """
        path.stat()
        slot = self._idle.get()
        scratch = self._scratch / f"{secrets.token_hex(16)}{_SCRATCH_SUFFIX}"
        try:
            said = self._ask(slot, path, scratch)
            return self._judge(slot, said, scratch)
        finally:
            scratch.unlink(missing_ok=True)
            self._idle.put(slot)

    def close(self) -> None:
        """End all children; a decoding under way fails as if its child had died."""
        with self._lock:
            self._closed = True
            for slot in self._slots:
                slot.process.kill()
        # Each thread gives its place back at once, because its child is dead.
        taken = [self._idle.get() for _ in self._slots]
        for slot in taken:
            slot.process.discard()
        for slot in taken:  # for those who still wait, to tell them
            self._idle.put(slot)
        with contextlib.suppress(OSError):  # somebody still reads from it; the next start tidies
            self._scratch.rmdir()

    def _ask(self, slot: _Slot, path: Path, scratch: Path) -> dict[str, Any]:
        if self._closed:
            raise DecoderDiedError("the decoders are closed")
        if slot.examined >= _INSTANCES_PER_CHILD or not slot.process.is_alive:
            self._replace(slot)
        try:
            slot.examined += 1
            return slot.process.ask(path, scratch)
        except DecoderDiedError:
            self._replace(slot)
            raise

    def _judge(self, slot: _Slot, said: dict[str, Any], scratch: Path) -> Examined:
        if "bad" in said:
            raise BadObjectError(str(said["bad"]))
        if "full" in said:
            raise StorageFullError("there is no room in the scratch folder of the decoders")
        if "failed" in said:
            raise StorageFailedError.of(OSError(int(said["failed"]), ""))
        if "died" in said:
            self._replace(slot)
            raise DecoderDiedError(str(said["died"]))
        try:
            return answer.decode(said, MappedScratch(scratch))
        except ValueError:
            self._replace(slot)
            raise DecoderDiedError("the decoder answered nonsense") from None

    def _replace(self, slot: _Slot) -> None:
        slot.process.discard()
        with self._lock:
            if not self._closed:
                slot.process = self._start()
                slot.examined = 0

    def _start(self) -> DecoderProcess:
        return DecoderProcess(self._limits, self._timeout_s)


class _Slot:
    """A place for one child."""

    def __init__(self, process: DecoderProcess) -> None:
        self.process = process
        self.examined = 0
