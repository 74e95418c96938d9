"""Claims jobs, runs them through the pipeline, and asks retry what comes next."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from node.errors import (
    BadObjectError,
    CardionodeError,
    DecoderDiedError,
    LeaseLostError,
    PermanentError,
    StorageFailedError,
)
from node.ledger.ledger import Ledger
from node.ledger.records import Job
from node.ledger.states import JobKind
from node.pipeline import Pipeline
from node.retry import JOB_POLICY, decide
from node.rush import Rush

_log = logging.getLogger(__name__)
_LEASE_S = 300.0
_IDLE_S = 0.5
#: A decoder that died twice on an instance would die again.
_DECODER_DEATHS = 2


class Worker:
    """One thread that works through the ledger's jobs.

    Parameters
    ----------
    ledger
        Where jobs are.
    pipeline
        What is done with them.
    destinations
        Names of those that every result goes to.
    clock
        The ledger's clock, epoch seconds.
    on_report
        Called when results wait in the outbox.
    rush
        Between jobs, the worker waits while instances rush in.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        pipeline: Pipeline,
        destinations: Sequence[str],
        clock: Callable[[], float],
        on_report: Callable[[], None] = lambda: None,
        rush: Rush | None = None,
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._pipeline = pipeline
        self._destinations = tuple(destinations)
        self._clock = clock
        self._on_report = on_report
        self._rush = rush if rush is not None else Rush(0.0)
        self._rng = random.Random()
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Look for jobs now."""
        self._woken.set()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End after the job at hand; return whether that happened within `timeout_s`."""
        self._stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def work_once(self) -> bool:
        """Do one job that is due; return whether there was one."""
        job = self._ledger.claim_job(self._name, _LEASE_S)
        if job is None:
            return False
        try:
            with _kept(self._ledger, job):
                self._do(job)
        except LeaseLostError:
            _log.warning("a job was taken over or is no longer wanted", extra={"job": job.id})
        return True

    def _do(self, job: Job) -> None:
        try:
            if job.kind is JobKind.ANALYSE:
                self._analyse(job)
            else:
                self._report(job)
        except LeaseLostError:
            raise
        except BadObjectError as error:
            self._set_aside(job, error)
        except DecoderDiedError as error:
            if job.attempt >= _DECODER_DEATHS and job.instance is not None:
                self._ledger.quarantine(job, f"decode failed {job.attempt} times: {error}")
            else:
                self._fail(job, error)
        except FileNotFoundError:
            self._fail(job, PermanentError("a stored file is missing"))
        except OSError as error:
            # A disk that is full or fails, or too many open files: that may pass.
            self._fail(job, StorageFailedError.of(error))
        except Exception as error:  # noqa: BLE001
            # The boundary of a job: whatever a network, a codec or a bug raises ends this attempt
            # with a reason in the ledger, and no other job.
            if not isinstance(error, CardionodeError):
                _log.error("a job failed", exc_info=error, extra={"job": job.id})
            self._fail(job, error)

    def _analyse(self, job: Job) -> None:
        if job.instance is None:
            raise BadObjectError("the job names no instance")
        analysis = self._pipeline.analyse(job.instance)
        self._ledger.finish_analysis(job, analysis.outcomes, analysis.captures)

    def _report(self, job: Job) -> None:
        ledger, study = self._ledger, job.study_uid
        objects = self._pipeline.report(
            job,
            ledger.study_outcomes(study),
            ledger.study_captures(study),
            ledger.study_results(study),
            ledger.study_partners(study),
        )
        ledger.finish_report(job, objects, self._destinations)
        self._on_report()

    def _set_aside(self, job: Job, error: BadObjectError) -> None:
        if job.instance is None:
            self._fail(job, error)
        else:
            self._ledger.quarantine(job, str(error))

    def _fail(self, job: Job, error: BaseException) -> None:
        decision = decide(
            error,
            attempt=job.attempt,
            first_attempt_at=job.first_attempt_at,
            now=self._clock(),
            rng=self._rng,
            policy=JOB_POLICY,
        )
        self._ledger.fail_job(job, decision.reason, decision.retry_at)

    def _run(self) -> None:
        while not self._stopping.wait(self._rush.left_s()):
            if self._rush.left_s():
                continue
            try:
                if self.work_once():
                    continue
            except CardionodeError as error:
                # The ledger's disk is full or has failed: the claim may succeed later, and the
                # readiness check says so meanwhile.
                _log.error("no job can be taken: %s", type(error).__name__)
            self._woken.wait(_IDLE_S)
            self._woken.clear()


@contextmanager
def _kept(ledger: Ledger, job: Job) -> Iterator[None]:
    """Renew a job's lease from a thread of its own while it is worked on."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(_LEASE_S / 3):
            try:
                ledger.heartbeat(job, _LEASE_S)
            except CardionodeError:
                return  # the finish will say that the lease is lost

    thread = threading.Thread(target=renew, name=f"lease-{job.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
