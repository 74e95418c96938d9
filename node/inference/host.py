"""The inference host: one process per device that keeps the networks resident and computes."""

from __future__ import annotations

import os
import queue
import signal
import threading
from multiprocessing.connection import Connection

import torch

from node.inference.batching import OutOfMemoryError, join, run_in_slices, split, take_batch
from node.inference.messages import (
    Arrays,
    Failure,
    HostInfo,
    HostSettings,
    Request,
    Response,
)
from node.inference.registry import Hosted, HostedTask, find_registry

_LONGEST_TEXT = 300


def serve(connection: Connection, registry: str, settings: HostSettings) -> None:
    """Load, warm up, say so, and answer requests until the control process is gone.

    Parameters
    ----------
    connection
        To the control process; its end ends this process.
    registry
        Path of the function that loads the networks.
    """
    # A signal to the whole group is for the control process, which drains and then lets us go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
    try:
        hosted = find_registry(registry)(settings)
        for task in hosted.tasks.values():
            task.compute(task.example)
    except Exception as error:  # noqa: BLE001 - the process boundary: the reason must get across
        connection.send(_failure(error))
        return
    info = HostInfo(os.getpid(), hosted.device, hosted.precision, hosted.networks, hosted.problems)
    connection.send(info)
    Host(connection, hosted).run()


class Host:
    """Answers requests; those that wait for the same task are computed together."""

    def __init__(self, connection: Connection, hosted: Hosted) -> None:
        self._connection = connection
        self._hosted = hosted
        self._most_rows = {key: task.most_rows for key, task in hosted.tasks.items()}
        self._arrived: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._waiting: list[Request] = []

    def run(self) -> None:
        """Serve for ever."""
        threading.Thread(target=self._receive, name="requests", daemon=True).start()
        while True:
            self._collect()
            first = self._waiting[0]
            task = self._hosted.tasks.get((first.network, first.task))
            if task is None:
                self._answer(self._waiting.pop(0), self._unknown(first))
                continue
            limit = 0 if task.alone else self._most_rows[first.network, first.task]
            self._serve_batch(task, take_batch(self._waiting, limit))

    def _receive(self) -> None:
        while True:
            try:
                self._arrived.put(self._connection.recv())
            except (EOFError, OSError):
                # The control process has ended or wants us to: whatever we compute is for nobody.
                os._exit(0)

    def _collect(self) -> None:
        if not self._waiting:
            self._waiting.append(self._arrived.get())
        while not self._arrived.empty():
            self._waiting.append(self._arrived.get())

    def _serve_batch(self, task: HostedTask, batch: list[Request]) -> None:
        try:
            results = split(self._compute(task, batch), batch)
        except Exception as error:  # noqa: BLE001 - the process boundary: callers get the reason
            if len(batch) > 1:
                # One of them may be to blame; the others shall not suffer.
                for request in batch:
                    self._serve_batch(task, [request])
                return
            self._answer(batch[0], _failure(error))
            return
        for request, result in zip(batch, results, strict=True):
            self._answer(request, result)

    def _compute(self, task: HostedTask, batch: list[Request]) -> Arrays:
        def compute(arrays: Arrays) -> Arrays:
            try:
                return task.compute(arrays)
            except (MemoryError, torch.OutOfMemoryError) as error:
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                raise OutOfMemoryError from error

        if task.alone:
            return compute(join(batch))
        key = (batch[0].network, batch[0].task)
        outputs, self._most_rows[key] = run_in_slices(compute, join(batch), self._most_rows[key])
        return outputs

    def _answer(self, request: Request, result: Arrays | Failure) -> None:
        try:
            self._connection.send(Response(request.id, result))
        except OSError:
            os._exit(0)

    def _unknown(self, request: Request) -> Failure:
        problem = self._hosted.problems.get(request.network)
        if problem:
            return Failure(f"the network {request.network} is not loaded: {problem}")
        return Failure(f"no network {request.network} with a task {request.task} is loaded")


def _failure(error: Exception) -> Failure:
    # Networks see arrays only, so that these texts tell shapes and devices, never a patient.
    if isinstance(error, OutOfMemoryError):
        return Failure("the device has too little memory for one input", transient=True)
    return Failure(f"{type(error).__name__}: {str(error)[:_LONGEST_TEXT]}")
