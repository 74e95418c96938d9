"""SIGKILL at any moment loses no acknowledged instance, and doubles or changes no result."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

from node.ledger.records import InstanceDetail, StudyDetail
from node.ledger.states import DispositionState, InstanceState
from node.reports import NOT_ANALYSED
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState
from tests.dicom_tools import dataset_digest
from tests.node_process import (
    ROOT,
    START_S,
    NodeProcess,
    as_sent,
    is_running,
    run_cardionode,
    wait_until,
)
from tests.pacs import RememberingPacs

SAMPLES = ROOT / "sample_dicom"
_WORK_S = 600.0
_ORPHAN_S = 60.0
# How long a node works before it is killed: this share of the time that its start takes, which says
# how fast the machine is.
_BUSY_SHARE = 0.6
_MOMENTS = ("start", "work", "arrival", "delivery")
# About as long as one instance takes to arrive, and as the PACS takes to answer.
_ARRIVAL_S, _ANSWER_S = 0.05, 0.2
# A node that has nothing to send or to deliver for so long is killed all the same.
_ANY_S = 30.0


@dataclass(frozen=True)
class _Kind:
    """A source of variants: where from, how often, and in which states it may end."""

    path: Path
    weight: int
    ends: frozenset[DispositionState]
    change: Callable[[Dataset], None] = lambda ds: None


@dataclass
class _Sent:
    """An instance that the node has acknowledged, or will."""

    path: Path
    ends: frozenset[DispositionState]
    acknowledged: threading.Event = field(default_factory=threading.Event)


class _Modality:
    """Sends instances one after the other, each until it is acknowledged, then never again."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._sender = CStoreSender(Peer("127.0.0.1", node.port, "CARDIONODE", 20.0), "ECHO")
        self._due: list[_Sent] = []
        self.attempts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modality")

    def __enter__(self) -> _Modality:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def send(self, instances: Sequence[_Sent]) -> None:
        """Have more instances sent, after those that wait."""
        self._due += instances

    def _run(self) -> None:
        done = 0
        while not self._stopping.is_set():
            if done == len(self._due) or not (self._node.is_alive and self._node.is_ready):
                self._stopping.wait(0.02)
                continue
            instance = self._due[done]
            self.attempts += 1
            outcome = self._sender.send(as_sent(instance.path), instance.path)
            if outcome.state is SendState.SENT:
                instance.acknowledged.set()
                done += 1
            else:
                self._stopping.wait(0.1)
        self._sender.close()


def _damage(ds: Dataset) -> None:
    frames = int(ds.NumberOfFrames)
    ds.PixelData = encapsulate([b"\xff\xd8\xff not a picture at all"] * frames)


def _kinds() -> list[_Kind]:
    """Real objects and a simulated one, as a mixed day would bring them."""
    read = frozenset({DispositionState.SENT, DispositionState.NO_ROUTE})
    unread = frozenset({DispositionState.NO_ROUTE})
    # an ECG and a film without their partner: that is where their way ends for now
    waits = frozenset({DispositionState.PENDING})
    aside = frozenset({DispositionState.QUARANTINED})
    return [
        _Kind(SAMPLES / "echo_a4c_sonosite_30f_small.dcm", 5, read),
        _Kind(SAMPLES / "echo_apical_agilent_10f.dcm", 6, read),
        _Kind(SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm", 1, read),
        _Kind(SAMPLES / "phantom/a4c.dcm", 1, read),
        _Kind(SAMPLES / "ecg12_mortara_1000hz.dcm", 1, waits),
        _Kind(SAMPLES / "cxr_pa_philips_j2k.dcm", 1, waits),
        _Kind(SAMPLES / "echo_tee_colour_still_px.dcm", 1, unread),
        _Kind(SAMPLES / "echo_apical_agilent_10f.dcm", 1, aside, _damage),
    ]


def _write_instances(folder: Path, count: int, rng: random.Random) -> list[_Sent]:
    """Studies of one to four instances; the last instance comes twice, with other bytes."""
    kinds = _kinds()
    instances: list[_Sent] = []
    study, left = "", 0
    for number in range(count):
        if not left:
            study, left = f"study {number}", rng.randint(1, 4)
        left -= 1
        kind = rng.choices(kinds, [each.weight for each in kinds])[0]
        ds = dcmread(kind.path)
        kind.change(ds)
        ds.StudyInstanceUID = generate_uid(entropy_srcs=[study])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[study, str(number)])
        ds.SOPInstanceUID = generate_uid(entropy_srcs=[study, str(number), "instance"])
        ds.PatientID, ds.IssuerOfPatientID = study, "cardionode tests"
        instances.append(_Sent(_save(ds, folder / f"{number:03}.dcm"), kind.ends))
    ds = dcmread(instances[-1].path)
    ds.InstitutionName = "elsewhere"
    aside = frozenset({DispositionState.QUARANTINED})
    return [*instances, _Sent(_save(ds, folder / "twin.dcm"), aside)]


def _save(ds: Dataset, path: Path) -> Path:
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path


@contextmanager
def _running(folder: Path, pacs: RememberingPacs) -> Iterator[NodeProcess]:
    node = NodeProcess(folder, pacs.port, {"grouping": {"quiet_s": 0.2}})
    try:
        yield node
    finally:
        node.end()


def _campaign(folder: Path, count: int, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    (folder / "in").mkdir()
    instances = _write_instances(folder / "in", count, rng)
    share = -(-len(instances) // (kills + 1))
    batches = [instances[at : at + share] for at in range(0, len(instances), share)]
    orphans: list[int] = []
    with RememberingPacs(seed) as pacs, _running(folder, pacs) as node, _Modality(node) as echo:
        start_s = _first_start_s(node)
        for number in range(kills):
            if number:
                node.spawn()
            echo.send(batches[number] if number < len(batches) else [])
            moment = _MOMENTS[number % len(_MOMENTS)]
            _wait_for(moment, node, pacs, echo, rng, start_s)
            assert node.is_alive, node.log[-2000:]
            orphans += node.kill(with_children=bool(rng.randrange(2)))
        node.start()
        for batch in batches[kills:]:
            echo.send(batch)
        _finish(node, instances)
        assert node.stop() == 0
    wait_until(lambda: not any(map(is_running, orphans)), _ORPHAN_S, "the end of the orphans")
    studies = node.studies()
    _check_instances(node, studies, instances)
    _check_results(node, studies, pacs.copies)
    _check_leftovers(node, studies)


def _wait_for(
    moment: str,
    node: NodeProcess,
    pacs: RememberingPacs,
    echo: _Modality,
    rng: random.Random,
    start_s: float,
) -> None:
    """Wait until the node is doing what it shall be killed at, and a random while longer."""
    if moment == "start":
        time.sleep(rng.uniform(0.0, start_s))
        return
    sent, delivered = echo.attempts, pacs.count
    wait_until(lambda: node.is_ready or not node.is_alive, START_S, "a start")
    with contextlib.suppress(TimeoutError):  # then there is nothing to send or to deliver
        if moment == "arrival":
            wait_until(lambda: echo.attempts > sent, _ANY_S, moment)
        elif moment == "delivery":
            wait_until(lambda: pacs.count > delivered, _ANY_S, moment)
    longer_s = {"arrival": _ARRIVAL_S, "delivery": _ANSWER_S}
    time.sleep(rng.uniform(0.0, longer_s.get(moment, _BUSY_SHARE * start_s)))


def _first_start_s(node: NodeProcess) -> float:
    began = time.monotonic()
    node.start()
    return time.monotonic() - began


def _finish(node: NodeProcess, instances: Sequence[_Sent]) -> None:
    """Wait for every answer and every result; what had bad luck too often is tried again."""
    wait_until(lambda: all(i.acknowledged.is_set() for i in instances), _WORK_S, "every answer")
    wait_until(node.is_idle, _WORK_S, "every result")
    lost = [
        job for study in node.studies() for job in study.jobs if "workers were lost" in job.reason
    ]
    if lost:
        assert run_cardionode("retry", "--all", "--config", str(node.config)).returncode == 0
        wait_until(node.is_idle, _WORK_S, "every result of what was tried again")


def _check_instances(
    node: NodeProcess, studies: Sequence[StudyDetail], instances: Sequence[_Sent]
) -> None:
    """Each acknowledged instance is there once, with its bytes, in an end state that fits it."""
    rows: dict[str, list[InstanceDetail]] = {}
    for study in studies:
        for detail in study.instances:
            rows.setdefault(dataset_digest(_blob(node, detail)), []).append(detail)
    assert sum(map(len, rows.values())) == len(instances)
    for sent in instances:
        (detail,) = rows[dataset_digest(sent.path)]
        assert detail.disposition.state in sent.ends, detail.disposition.reason
        assert detail.disposition.reason
        if detail.disposition.state is DispositionState.PENDING:
            assert detail.disposition.reason.startswith("waits for a")


def _check_results(
    node: NodeProcess, studies: Sequence[StudyDetail], copies: dict[str, list[str]]
) -> None:
    """The PACS has every result, nothing else, and whatever came again was the same."""
    expected: dict[str, set[str]] = {}
    for study in studies:
        for row in study.results:
            digest = dataset_digest(node.data_dir.path / row.object.path)
            expected.setdefault(row.object.sop_instance_uid, set()).add(digest)
        _check_last_revision(node, study)
    assert {uid: set(digests) for uid, digests in copies.items()} == expected
    assert all(len(digests) == 1 for digests in expected.values())


def _check_last_revision(node: NodeProcess, study: StudyDetail) -> None:
    """The last revision speaks of every instance that a finding had something to say about."""
    told: dict[str, set[str]] = {}
    pictured: set[tuple[str, str]] = set()
    uids = {detail.row.id: detail.row.sop_instance_uid for detail in study.instances}
    for each in study.outcomes:
        if each.outcome.state == "analysed":
            json.loads(each.outcome.observation or "")
            told.setdefault(each.outcome.finding, set()).add(uids[each.instance_id])
            pictured.add((each.outcome.finding, uids[each.instance_id]))
        elif each.outcome.state in ("not_analysed", "failed"):
            told.setdefault(NOT_ANALYSED, set()).add(uids[each.instance_id])
    last = [row.object for row in study.results if row.revision == study.study.revision]
    reports = {each.finding: each for each in last if each.kind == "sr"}
    aside = any(d.row.state is InstanceState.QUARANTINED for d in study.instances)
    # what was put aside is listed there, too; and a later revision may have nothing left to list
    assert set(told) <= set(reports) <= set(told) | {NOT_ANALYSED}
    assert NOT_ANALYSED not in set(reports) - set(told) or aside or study.study.revision > 1
    for finding, inputs in told.items():
        report = dcmread(node.data_dir.path / reports[finding].path)
        evidence = report.CurrentRequestedProcedureEvidenceSequence
        named = {
            instance.ReferencedSOPInstanceUID
            for item in evidence
            for series in item.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        assert inputs <= named
    captures = {(each.finding, each.instance_sop_uid) for each in last if each.kind == "capture"}
    assert captures == pictured


def _check_leftovers(node: NodeProcess, studies: Sequence[StudyDetail]) -> None:
    """No part of a write that was cut short is left on disk."""
    assert list(node.data_dir.path.rglob("*.part")) == []
    reported = {row.object.sha256 for study in studies for row in study.results}
    kept = {path.stem for path in node.data_dir.results.rglob("*.dcm")}
    # more than is reported: captures that wait with their instance for its partner
    assert reported <= kept == node.object_digests()


def _blob(node: NodeProcess, detail: InstanceDetail) -> Path:
    digest = detail.row.sha256
    return node.data_dir.spool_obj / digest[:2] / f"{digest}.dcm"


pytestmark = pytest.mark.filterwarnings(
    # pynetdicom forgets to close the socket of a connection that was refused
    "ignore:unclosed <socket:ResourceWarning"
)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_eight_kills(tmp_path: Path) -> None:
    _campaign(tmp_path, count=24, kills=8, seed=20)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", [1])
def test_fifty_kills(seed: int, tmp_path: Path) -> None:
    _campaign(tmp_path, count=100, kills=50, seed=seed)
