"""Every finding keeps the contract: it is listed, has its network, and its results can be read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

import node.findings
from models.cards import Card, read_card, verified_blob
from models.inputs import Clip
from models.weights import NETWORKS
from node.decode.child import examine
from node.decode.scratch import Scratch
from node.findings import FINDINGS
from node.findings.base import Arrays, Finding, Observation, Subject
from node.inference.batching import run_in_slices
from node.inference.messages import HostSettings
from node.inference.registry import Hosted
from node.inference.tasks import load_networks
from node.picture import draw_capture
from node.pipeline import algorithm_of
from node.results.primitives import StudyResult
from node.results.structured_report import build_report
from node.results.uids import derive_uid
from node.results.validate import validate_result
from tests.results_objects import CLIP, CREATED_AT, DEVICE_UID, header, reference, report_context

_NOT_FINDINGS = {"__init__", "base"}
#: What the view network may be unsure of is not what is tested here.
_APICAL: Observation = {"view": "A4C", "certain": True, "probability": 0.9}

every_finding = pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.name)


class _Networks:
    """The real networks in this process."""

    def __init__(self, hosted: Hosted) -> None:
        self._tasks = hosted.tasks

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        hosted = self._tasks[network, task]
        most = len(next(iter(arrays.values()))) if hosted.alone else hosted.most_rows
        return run_in_slices(hosted.compute, arrays, most)[0]


@pytest.fixture(scope="module")
def networks() -> _Networks:
    hosted = load_networks(HostSettings(device="cpu"))
    assert hosted.problems == {}
    return _Networks(hosted)


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    scratch = Scratch(tmp_path / "decoded")
    try:
        decoded = examine(CLIP, scratch, 1 << 30).decoded
        assert decoded is not None
        yield Subject(reference(header()), "clip", decoded.input, {"echo_view": _APICAL})
    finally:
        scratch.close()


def _generous(card: Card) -> Card:
    """A card that lets two contradicting answers pass."""
    if "border_disagreement_percent" not in card.thresholds:
        return card
    lax = {"border_disagreement_percent": {"value": 100.0, "policy": "of this test"}}
    return replace(card, thresholds={**card.thresholds, **lax})


def _read_back(ds: Dataset) -> Dataset:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def _texts(ds: Dataset) -> list[str]:
    """Every text and number of a content tree."""
    found = []
    for item in ds.get("ContentSequence", []):
        if "TextValue" in item:
            found.append(str(item.TextValue))
        for measured in item.get("MeasuredValueSequence", []):
            found.append(str(measured.NumericValue))
        found += _texts(item)
    return found


def test_every_finding_file_is_listed() -> None:
    folder = Path(node.findings.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - _NOT_FINDINGS
    listed = {type(finding).__module__.rpartition(".")[2]: finding.name for finding in FINDINGS}
    assert listed == {name: name for name in files}


def test_names_and_series_belong_to_one_finding() -> None:
    series = [number for f in FINDINGS for number in (f.series_number, f.series_number + 1)]
    assert len(set(series)) == len(series)
    assert len({finding.title for finding in FINDINGS}) == len(FINDINGS)


@every_finding
def test_finding_has_its_network(finding: Finding, networks: _Networks) -> None:
    card = read_card(finding.network)
    assert card.finding == finding.name
    assert card.network in NETWORKS
    assert card.statement
    assert verified_blob(card)


@every_finding
def test_results_can_be_read(finding: Finding, networks: _Networks, subject: Subject) -> None:
    card = read_card(finding.network)
    observation = finding.analyse(subject, networks, _generous(card))
    assert json.loads(json.dumps(observation, allow_nan=False)) == observation
    headline = finding.headline(observation)
    groups = finding.summarise([(subject.image, observation)])
    assert len({group.tracking_id for group in groups}) == len(groups) >= 2
    result = StudyResult(finding.name, finding.title, algorithm_of(card), groups, ())
    report = build_report(result, [header()], report_context())
    validate_result(report)
    texts = _texts(_read_back(report))
    assert any(card.statement in text for text in texts)
    for group in groups:
        assert group.tracking_id in texts
        assert float(group.measurement.value) in [float(t) for t in texts if _is_number(t)]
    explanation = finding.explain(subject, observation, networks)
    assert headline in explanation.headline
    assert isinstance(subject.input, Clip)
    capture = draw_capture(
        subject.input, explanation, header(), title=finding.title, algorithm=algorithm_of(card),
        sop_instance_uid=derive_uid("capture", finding.name),
        series_instance_uid=derive_uid("captures", finding.name),
        series_number=finding.series_number + 1, created_at=CREATED_AT, node_version="test",
        device_uid=DEVICE_UID,
    )  # fmt: skip
    validate_result(capture)
    assert _read_back(capture).NumberOfFrames == len(subject.frames)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
