"""The work on one cine without a node: the same stages one after the other in this process.

There is no ledger, no queue, no other process, no wait for a quiet study and no fsync.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from pydicom import Dataset, dcmread

from node.decode.child import examine
from node.decode.examined import Examined
from node.decode.scratch import Scratch
from node.errors import UnreachableError
from node.findings import FINDINGS
from node.inference.batching import run_in_slices
from node.inference.messages import Arrays, HostSettings
from node.inference.tasks import load_networks
from node.installed import look_for_weights
from node.ledger.records import InstanceRow, Job, ObjectKind, StoredObject
from node.ledger.states import InstanceState, JobKind
from node.pipeline import Pipeline
from node.result_store import ResultStore
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState
from tests.benchmarks.stopwatch import Stopwatch

_MOST_DECODED_BYTES = 2 << 30


class Bare:
    """Everything loaded and warm, as in a node that runs.

    Parameters
    ----------
    folder
        For results and decoded arrays; empty, best in memory.
    host
        Device and threads of the networks, the same as the node's.
    sender
        To the receiver that the node sends to as well.
    """

    def __init__(self, folder: Path, host: HostSettings, sender: CStoreSender) -> None:
        self._watch = Stopwatch()
        self._sender = sender
        self._folder = folder
        self._blob = Path()
        hosted = load_networks(host)
        self._tasks = hosted.tasks
        for task in hosted.tasks.values():
            task.compute(task.example)
        self.device = hosted.device
        self._pipeline = Pipeline(
            findings=FINDINGS,
            installed=look_for_weights(FINDINGS),
            decoder=self,
            networks=self,
            blob=lambda _: self._blob,
            store=_PlainStore(folder),
            node_version="benchmark",
            device_uid="2.25.1",
        )

    def work(self, path: Path) -> dict[str, float]:
        """Take one instance from disk to the receiver.

        Returns
        -------
        Seconds by part, and ``total``.
        """
        self._watch, self._blob = Stopwatch(), path
        instance = _instance(path)
        began = time.perf_counter()
        analysis = self._pipeline.analyse(instance)
        analysed = time.perf_counter()
        job = Job(1, JobKind.REPORT, instance.study_instance_uid, None, 1, 1, 1, 0.0, 0.0)
        with self._watch.measure("reports: build, validate"):
            outcomes = [(instance, outcome) for outcome in analysis.outcomes]
            objects = self._pipeline.report(job, outcomes, analysis.captures, ())
        with self._watch.measure("send"):
            self._send(objects)
        total = time.perf_counter() - began
        parts = dict(self._watch.seconds)
        known = sum(parts[part] for part in ("decode", "forward passes", "explanations"))
        parts["prepare input, draw and encode captures"] = analysed - began - known
        return {**parts, "total": total}

    def decode(self, path: Path) -> Examined:
        """Decode here instead of in a child (the pipeline's decoder)."""
        arrays = self._folder / "decoded"
        with self._watch.measure("decode"):
            scratch = Scratch(arrays)
            try:
                return examine(path, scratch, _MOST_DECODED_BYTES)
            finally:
                scratch.close()
                arrays.unlink(missing_ok=True)  # what is mapped stays

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        """Compute here instead of in a host (the findings' networks)."""
        hosted = self._tasks[network, task]
        most = len(next(iter(arrays.values()))) if hosted.alone else hosted.most_rows
        with self._watch.measure("explanations" if task == "explain" else "forward passes"):
            return run_in_slices(hosted.compute, arrays, most)[0]

    def _send(self, objects: list[StoredObject]) -> None:
        for stored in objects:
            outcome = self._sender.send(stored, self._folder / stored.path)
            if outcome.state is not SendState.SENT:
                raise UnreachableError(f"The receiver did not take a result: {outcome.note}")
        self._sender.close()


class _PlainStore(ResultStore):
    """Writes results without making them durable."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder)
        self._plain = folder

    def put(
        self, ds: Dataset, kind: ObjectKind, finding: str, instance_sop_uid: str | None = None
    ) -> StoredObject:
        """Write one object."""
        path = self._plain / f"{finding}_{kind}.dcm"
        ds.save_as(path, enforce_file_format=True)
        return StoredObject(
            kind, finding, str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID),
            str(ds.StudyInstanceUID), int(ds.SeriesNumber), "", path.stat().st_size, path.name,
            instance_sop_uid,
        )  # fmt: skip


def _instance(path: Path) -> InstanceRow:
    ds = dcmread(path, stop_before_pixels=True)
    return InstanceRow(
        1, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, str(ds.SOPClassUID),
        str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID), str(ds.StudyInstanceUID),
        str(ds.file_meta.TransferSyntaxUID), str(ds.Modality), "BENCHMARK", False, False,
        InstanceState.DECODED, "", 0.0,
    )  # fmt: skip
