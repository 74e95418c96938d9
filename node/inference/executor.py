"""Runs networks: the seam behind which it is decided where."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import threading
from concurrent.futures import Future
from itertools import count
from multiprocessing.connection import Connection
from typing import Protocol

from node.errors import HostDiedError, NotAnalysableError, PermanentError, TransientError
from node.inference.messages import (
    ArrayMapping,
    Arrays,
    Failure,
    HostInfo,
    HostSettings,
    Request,
    Response,
    check_arrays,
)

START_TIMEOUT_S = 300.0
CALL_TIMEOUT_S = 600.0
NETWORKS = "node.inference.tasks:load_networks"
#: A sender waits for its answers: receiving goes before decoding, and that before computing.
NICENESS = 6

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """Runs a task of a network; called by many threads at once."""

    def run(self, network: str, task: str, arrays: ArrayMapping) -> Arrays:
        """Compute.

        Parameters
        ----------
        arrays
            Each with the inputs (clips, frames) on its first axis.

        Returns
        -------
        Arrays with the same rows first.

        Raises
        ------
        NotAnalysableError
            The network could not be loaded.
        PermanentError
            The task failed and would fail again.
        TransientError
            The device had too little memory.
        HostDiedError
            The host died meanwhile; the next call starts another.
        """
        ...


class LocalExecutor:
    """Runs everything in one host process on this machine.

    Parameters
    ----------
    settings
        Device, precision and threads.
    registry
        Path of the function that loads the networks, called in the host.
    start_timeout_s
        For importing torch, loading the networks and the warm-up.
    call_timeout_s
        After which a host that does not answer counts as dead and is killed.
    """

    def __init__(
        self,
        settings: HostSettings | None = None,
        *,
        registry: str = NETWORKS,
        start_timeout_s: float = START_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._settings = settings if settings is not None else HostSettings()
        self._registry = registry
        self._start_timeout_s = start_timeout_s
        self._call_timeout_s = call_timeout_s
        self._lock = threading.Lock()
        self._host: _HostProcess | None = None
        self._stopped = False

    def start(self) -> HostInfo:
        """Start the host if it does not run, and wait until it is ready.

        Raises
        ------
        HostDiedError
            It did not become ready; the message says why.
        """
        return self._live_host().info

    @property
    def info(self) -> HostInfo | None:
        """What the host said, None while none is alive."""
        host = self._host
        return host.info if host is not None and host.is_alive else None

    def run(self, network: str, task: str, arrays: ArrayMapping) -> Arrays:
        """Compute; see :meth:`Executor.run`."""
        check_arrays(arrays)
        host = self._live_host()
        if network in host.info.problems:
            problem = host.info.problems[network]
            raise NotAnalysableError(f"the network {network} is not loaded: {problem}")
        try:
            result = host.submit(network, task, dict(arrays)).result(self._call_timeout_s)
        except TimeoutError:
            host.kill()
            raise HostDiedError(
                f"the inference host did not answer within {self._call_timeout_s:g} s"
            ) from None
        if isinstance(result, Failure):
            kind = TransientError if result.transient else PermanentError
            raise kind(f"{network} failed: {result.text}")
        return result

    def stop(self) -> None:
        """End the host; calls that wait get HostDiedError, later ones too."""
        with self._lock:
            self._stopped = True
            if self._host is not None:
                self._host.close()

    def _live_host(self) -> _HostProcess:
        with self._lock:
            if self._stopped:
                raise HostDiedError("the inference host was stopped")
            if self._host is None or not self._host.is_alive:
                if self._host is not None:
                    self._host.close()
                    _log.warning(
                        "the inference host is started again", extra={"action": "host_restarted"}
                    )
                self._host = None
                self._host = _HostProcess(self._registry, self._settings, self._start_timeout_s)
            return self._host


class _HostProcess:
    """A running host and the calls that wait for it."""

    def __init__(self, registry: str, settings: HostSettings, timeout_s: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_run_host, args=(theirs, registry, settings), name="inference", daemon=True
        )
        self._process.start()
        theirs.close()
        self._ids = count()
        self._sending = threading.Lock()
        self._calls_lock = threading.Lock()
        self._calls: dict[int, Future[Arrays | Failure]] = {}
        self._dead = False
        # A host ignores SIGTERM, so multiprocessing alone would wait for it at exit.
        atexit.register(self._process.kill)
        self._receiver = threading.Thread(
            target=self._receive, name="inference-results", daemon=True
        )
        self.info = self._await_ready(timeout_s)
        self._receiver.start()

    @property
    def is_alive(self) -> bool:
        return not self._dead

    def submit(self, network: str, task: str, arrays: Arrays) -> Future[Arrays | Failure]:
        request = Request(next(self._ids), network, task, arrays)
        call: Future[Arrays | Failure] = Future()
        with self._calls_lock:
            if self._dead:
                raise HostDiedError
            self._calls[request.id] = call
        try:
            with self._sending:
                self._connection.send(request)
        except OSError:
            self._fail_calls()
        return call

    def kill(self) -> None:
        self._process.kill()
        self._fail_calls()

    def close(self) -> None:
        self.kill()
        self._process.join()
        atexit.unregister(self._process.kill)
        if self._receiver.ident is not None:
            self._receiver.join()
        self._connection.close()

    def _await_ready(self, timeout_s: float) -> HostInfo:
        try:
            message = self._connection.recv() if self._connection.poll(timeout_s) else None
        except (EOFError, OSError):
            message = Failure("it died")
        if isinstance(message, HostInfo):
            return message
        self.close()
        reason = message.text if message is not None else f"not ready after {timeout_s:g} s"
        raise HostDiedError(f"the inference host did not start: {reason}")

    def _receive(self) -> None:
        while True:
            try:
                response: Response = self._connection.recv()
            except (EOFError, OSError):
                self._fail_calls()
                return
            with self._calls_lock:
                call = self._calls.pop(response.id, None)
            if call is not None:
                call.set_result(response.result)

    def _fail_calls(self) -> None:
        with self._calls_lock:
            self._dead = True
            calls, self._calls = self._calls, {}
        for call in calls.values():
            call.set_exception(HostDiedError())


def _run_host(connection: Connection, registry: str, settings: HostSettings) -> None:
    # Imported here: this module belongs to the control process, which never imports torch.
    from node.inference.host import serve

    os.nice(NICENESS)
    serve(connection, registry, settings)
