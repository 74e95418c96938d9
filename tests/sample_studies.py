"""Reads sample instances with the real decoders, findings and networks, study by study.

What a node does with them, without its doors, its ledger and its processes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from node.decode.examined import Examined
from node.decode.pool import DecodePool
from node.findings import FINDINGS
from node.findings.base import Finding, Observation
from node.inference.messages import HostSettings
from node.inference.registry import Hosted
from node.inference.tasks import load_networks
from node.installed import Installed, look_for_weights
from node.ledger.records import FindingOutcome, InstanceRow, Job, Partner, StoredObject
from node.ledger.states import InstanceState, JobKind
from node.observations import from_text
from node.pairing import Role
from node.pairs import Telling, telling
from node.pipeline import Pipeline
from node.reports import reference_to
from node.result_store import ResultStore
from node.results.primitives import Group, ImageReference
from tests.results_objects import DEVICE_UID

Arrays = dict[str, npt.NDArray[Any]]
_RECEIVED_AT = 1_780_000_000.0


class Networks:
    """The networks of a host, in this process, and what they were asked."""

    def __init__(self, precision: Literal["float32", "bfloat16"]) -> None:
        self.hosted: Hosted = load_networks(HostSettings(device="cpu", precision=precision))
        self.asked: list[tuple[str, str, Arrays]] = []

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        """Compute a task."""
        self.asked.append((network, task, arrays))
        return self.hosted.tasks[network, task].compute(arrays)

    def repeated(self) -> Counter[tuple[str, str]]:
        """Inputs that a task was given in more than one call."""
        calls: dict[tuple[str, str, bytes], set[int]] = {}
        for number, (network, task, arrays) in enumerate(self.asked):
            for row in range(len(next(iter(arrays.values())))):
                content = b"".join(
                    np.ascontiguousarray(arrays[name][row]).tobytes() for name in sorted(arrays)
                )
                key = (network, task, hashlib.sha256(content).digest())
                calls.setdefault(key, set()).add(number)
        return Counter(key[:2] for key, numbers in calls.items() if len(numbers) > 1)


class CountingDecoder:
    """The decoder children, and how often each instance was handed to them."""

    def __init__(self, folder: Path) -> None:
        self.pool = DecodePool(1, 3072, 240.0, 2048, folder)
        self.calls: Counter[Path] = Counter()

    def decode(self, path: Path) -> Examined:
        """Decode an instance."""
        self.calls[path] += 1
        return self.pool.decode(path)


@dataclass
class SampleStudies:
    """Everything that was made of the samples.

    Attributes
    ----------
    outcomes
        Of each instance, by the instance's path.
    repeated
        For each instance the inputs that a network was given twice.
    reports, captures
        In `folder`.
    """

    installed: Installed
    networks: Networks
    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)
    rows: list[InstanceRow] = field(default_factory=list)
    outcomes: list[tuple[InstanceRow, FindingOutcome]] = field(default_factory=list)
    partners: list[Partner] = field(default_factory=list)
    captures: list[StoredObject] = field(default_factory=list)
    reports: list[StoredObject] = field(default_factory=list)
    decoded: Counter[Path] = field(default_factory=Counter)
    repeated: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def path(self, stored: StoredObject) -> Path:
        """Where a result lies."""
        return self.folder / stored.path

    def source(self, sop_instance_uid: str) -> Path:
        """Where the instance or capture with this UID lies."""
        for row in self.rows:
            if row.sop_instance_uid == sop_instance_uid:
                return self.paths[row.sha256]
        return next(self.path(c) for c in self.captures if c.sop_instance_uid == sop_instance_uid)

    def observations(self, finding: Finding) -> list[Observation]:
        """What a finding observed in all instances."""
        return [
            from_text(o.observation)
            for _, o in self.outcomes
            if o.finding == finding.name and o.observation is not None
        ]

    def told(self, finding: Finding, study_uid: str) -> Telling:
        """What is told of a finding in a study."""
        own = [
            (row, o)
            for row, o in self.outcomes
            if o.finding == finding.name and row.study_instance_uid == study_uid
        ]
        return telling(finding, own, self.captures, self.partners)

    def groups(self, finding: Finding, study_uid: str) -> tuple[Group, ...]:
        """What a finding says of a study."""
        said: list[tuple[ImageReference, Observation]] = [
            (reference_to(row), from_text(o.observation))
            for row, o in self.told(finding, study_uid).told
            if o.observation is not None
        ]
        return finding.summarise(said)


def read_samples(paths: Sequence[Path], folder: Path) -> SampleStudies:
    """Take instances through the pipeline and make the reports of their studies."""
    installed, networks = look_for_weights(FINDINGS), Networks("float32")
    problems = {**networks.hosted.problems, **installed.problems}
    seen = SampleStudies(replace(installed, problems=problems), networks, folder)
    decoder = CountingDecoder(folder / "scratch")
    pipeline = Pipeline(
        findings=FINDINGS,
        installed=seen.installed,
        decoder=decoder,
        networks=networks,
        blob=lambda digest: seen.paths[digest],
        store=ResultStore(folder, folder / "results"),
        node_version="test",
        device_uid=DEVICE_UID,
    )
    try:
        for number, path in enumerate(paths, start=1):
            _analyse(pipeline, _row(number, path), path, seen)
    finally:
        decoder.pool.close()
    seen.decoded = decoder.calls
    _pair(seen)
    for study_uid in dict.fromkeys(row.study_instance_uid for row in seen.rows):
        seen.reports += _report(pipeline, study_uid, seen)
    return seen


def _analyse(pipeline: Pipeline, row: InstanceRow, path: Path, seen: SampleStudies) -> None:
    seen.paths[row.sha256] = path
    seen.rows.append(row)
    before = len(seen.networks.asked)
    analysis = pipeline.analyse(row)
    seen.outcomes += [(row, outcome) for outcome in analysis.outcomes]
    seen.captures += analysis.captures
    own = Networks.__new__(Networks)
    own.asked = seen.networks.asked[before:]
    seen.repeated[path.name] = own.repeated()


def _pair(seen: SampleStudies) -> None:
    """Join each X-ray with the ECG of the same patient, as the ledger would."""
    halves: Mapping[Role, list[tuple[InstanceRow, FindingOutcome]]] = {
        role: [(row, o) for row, o in seen.outcomes if o.role is role] for role in Role
    }
    joined: set[int] = set()
    for xray, of_xray in halves[Role.XRAY]:
        for ecg, of_ecg in halves[Role.ECG]:
            if _patient(seen.paths[xray.sha256]) != _patient(seen.paths[ecg.sha256]):
                continue
            seen.partners += [
                Partner(of_xray.finding, xray.id, ecg, of_ecg, -1.0),
                Partner(of_xray.finding, ecg.id, xray, of_xray, -1.0),
            ]
            joined |= {xray.id, ecg.id}
    seen.outcomes = [
        (row, replace(o, state="analysed") if o.role and row.id in joined else o)
        for row, o in seen.outcomes
    ]


def _report(pipeline: Pipeline, study_uid: str, seen: SampleStudies) -> list[StoredObject]:
    outcomes = [(row, o) for row, o in seen.outcomes if row.study_instance_uid == study_uid]
    captures = [each for each in seen.captures if each.study_instance_uid == study_uid]
    job = Job(1, JobKind.REPORT, study_uid, None, 1, 1, 1, 0.0, 0.0)
    objects = pipeline.report(job, outcomes, captures, (), seen.partners)
    return [each for each in objects if each.kind == "sr"]


def _patient(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).get("PatientID", ""))


def _row(number: int, path: Path) -> InstanceRow:
    ds = dcmread(path, stop_before_pixels=True)
    return InstanceRow(
        number, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size,
        str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID),
        str(ds.StudyInstanceUID), str(ds.file_meta.TransferSyntaxUID), str(ds.Modality), "TEST",
        False, False, InstanceState.DECODED, "", _RECEIVED_AT,
    )  # fmt: skip
