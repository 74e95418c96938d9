"""Every finding from a decoded instance to valid DICOM objects and back, with its real network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread

from models.cards import SIMULATED, WEIGHTS_FOLDER, Card, read_card, verified_blob
from models.weights import count_parameters, load_network
from node.decode.pool import DecodePool
from node.errors import NotAnalysableError, NotApplicableError
from node.findings import FINDINGS
from node.findings.base import Finding, Observation, Subject
from node.inference.messages import HostSettings
from node.inference.registry import Hosted
from node.inference.tasks import load_networks
from node.observations import from_text, to_text
from node.picture import draw_capture
from node.pipeline import algorithm_of
from node.results.primitives import Group, ImageReference, NotAnalysed, StudyResult
from node.results.report_content import COMMENT_LENGTH
from node.results.structured_report import build_report
from node.results.uids import derive_uid
from node.results.validate import validate_result
from tests.dicom_tools import dciodvfy_errors, dsrdump
from tests.results_objects import CREATED_AT, DEVICE_UID, ROOT, SAMPLES, report_context

Arrays = dict[str, npt.NDArray[Any]]
_NAMES = [finding.name for finding in FINDINGS]
_CARDS = sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.json"))
_READ = (
    "phantom/a4c",
    "phantom/a2c",
    "echo_a4c_sonosite_30f_small",
    "ecg12_mortara_1000hz",
    "cxr_pa_philips_j2k",
)

each_finding = pytest.mark.parametrize("finding", FINDINGS, ids=_NAMES)


class _Networks:
    """The networks of a host, in this process."""

    def __init__(self, precision: Literal["float32", "bfloat16"]) -> None:
        self.hosted: Hosted = load_networks(HostSettings(device="cpu", precision=precision))
        assert self.hosted.problems == {}
        self.asked: list[tuple[str, str, Arrays]] = []

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        self.asked.append((network, task, arrays))
        return self.hosted.tasks[network, task].compute(arrays)


@dataclass(frozen=True)
class _Seen:
    """An instance that a finding has read."""

    path: Path
    subject: Subject
    observation: Observation

    @property
    def header(self) -> Dataset:
        return dcmread(self.path, stop_before_pixels=True)


@pytest.fixture(scope="module")
def networks() -> _Networks:
    return _Networks("float32")


@pytest.fixture(scope="module")
def seen(networks: _Networks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[_Seen]]:
    """What each finding read in a simulated patient and in real instances, by its name."""
    folder = tmp_path_factory.mktemp("findings")
    paths = [SAMPLES / f"{name}.dcm" for name in _READ]
    found: dict[str, list[_Seen]] = {name: [] for name in _NAMES}
    pool = DecodePool(1, 3072, 120.0, 2048, folder / "scratch")
    try:
        for path in paths:
            for name, each in _read(path, pool, networks):
                found[name].append(each)
    finally:
        pool.close()
    return found


def _read(path: Path, pool: DecodePool, networks: _Networks) -> Iterator[tuple[str, _Seen]]:
    examined = pool.decode(path)
    kind = examined.instance.kind
    if examined.decoded is None or kind is None:
        return
    subject = Subject(
        _reference(dcmread(path, stop_before_pixels=True)), kind, examined.decoded.input
    )
    for finding in FINDINGS:
        if kind not in finding.kinds:
            continue
        try:
            observation = finding.analyse(subject, networks, read_card(finding.network))
        except (NotApplicableError, NotAnalysableError) as error:
            assert str(error)
            continue
        subject.earlier[finding.name] = observation
        yield finding.name, _Seen(path, subject, observation)


def _reference(ds: Dataset) -> ImageReference:
    return ImageReference(
        ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID
    )


def test_every_finding_file_is_in_the_tuple() -> None:
    folder = ROOT / "node/findings"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert files == {type(finding).__module__.rpartition(".")[2] for finding in FINDINGS}
    assert files == set(_NAMES)


def test_findings_can_be_told_apart() -> None:
    assert len({finding.name for finding in FINDINGS}) == len(FINDINGS)
    assert len({finding.title for finding in FINDINGS}) == len(FINDINGS)
    numbers = [finding.series_number for finding in FINDINGS]
    assert len({*numbers, *(number + 1 for number in numbers)}) == 2 * len(FINDINGS)


@each_finding
def test_the_network_of_a_finding_is_its_own(finding: Finding) -> None:
    assert read_card(finding.network).finding == finding.name


@each_finding
def test_observations_survive_the_ledger(finding: Finding, seen: dict[str, list[_Seen]]) -> None:
    assert seen[finding.name], "no sample is read by this finding"
    for each in seen[finding.name]:
        assert from_text(to_text(each.observation)) == each.observation
        assert 0 < len(finding.headline(each.observation)) <= COMMENT_LENGTH


@each_finding
def test_a_report_says_what_the_finding_said(
    finding: Finding, seen: dict[str, list[_Seen]], tmp_path: Path
) -> None:
    # Instances of one study, as they would be in one report.
    first = seen[finding.name][0]
    groups = finding.summarise([(first.subject.image, from_text(to_text(first.observation)))])
    card = read_card(finding.network)
    result = StudyResult(
        finding.name, finding.title, algorithm_of(card), groups,
        (NotAnalysed(first.subject.image, "a reason"),),
    )  # fmt: skip
    report = build_report(result, [first.header], report_context(finding.name))
    validate_result(report)
    path = tmp_path / "report.dcm"
    report.save_as(path, enforce_file_format=True)
    assert dciodvfy_errors(path) == []
    assert card.statement in dsrdump(path)
    _check_groups(dcmread(path), groups, first.header)


def _check_groups(report: Dataset, groups: Sequence[Group], header: Dataset) -> None:
    written = [item for item in _items(report) if _code(item) == "125007"]
    assert len(written) == len(groups) >= 2  # the study's answer, and one of each instance
    assert len({group.tracking_id for group in groups}) == len(groups)
    for item, group in zip(written, groups, strict=True):
        (number,) = [each for each in item.ContentSequence if each.ValueType == "NUM"]
        assert group.measurement is not None
        assert _code(number) == group.measurement.name.value
        measured = number.MeasuredValueSequence[0]
        assert float(measured.NumericValue) == pytest.approx(group.measurement.value)
        assert 0.0 <= float(measured.NumericValue) <= 100.0
        (region,) = number.ContentSequence
        points = np.array(region.GraphicData, dtype=float).reshape(-1, 2)
        assert region.GraphicType == "POLYLINE" and (points[0] == points[-1]).all()
        assert ((points >= 0) & (points <= [header.Columns, header.Rows])).all()
        image = region.ContentSequence[0].ReferencedSOPSequence[0]
        assert image.ReferencedSOPInstanceUID == group.region.image.sop_instance_uid
        if group.region.image.frame is not None:
            assert 1 <= int(image.ReferencedFrameNumber) <= int(header.NumberOfFrames)
        texts = [each.TextValue for each in item.ContentSequence if each.ValueType == "TEXT"]
        assert group.comment is not None
        assert any(group.comment in text for text in texts)
        assert group.tracking_id in texts


def _items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


@each_finding
def test_a_capture_shows_where_the_network_looked(
    finding: Finding, seen: dict[str, list[_Seen]], networks: _Networks, tmp_path: Path
) -> None:
    each = seen[finding.name][0]
    explanation = finding.explain(each.subject, each.observation, networks)
    assert finding.headline(each.observation) in explanation.headline
    assert explanation.maps.shape[0] == len(explanation.positions) >= 1
    assert explanation.maps.min() >= 0.0 and 0.0 < explanation.maps.max() <= 1.0
    assert (np.diff(explanation.positions) > 0).all()
    source: Any = each.subject.input
    capture = draw_capture(
        source, explanation, each.header, title=finding.title,
        algorithm=algorithm_of(read_card(finding.network)),
        sop_instance_uid=derive_uid(finding.name), series_instance_uid=derive_uid("captures"),
        series_number=finding.series_number + 1, created_at=CREATED_AT, node_version="0.1.0",
        device_uid=DEVICE_UID,
    )  # fmt: skip
    validate_result(capture)
    path = tmp_path / "capture.dcm"
    capture.save_as(path, enforce_file_format=True)
    assert dciodvfy_errors(path) == []
    assert int(capture.get("NumberOfFrames", 1)) == int(each.header.get("NumberOfFrames", 1))


def test_weights_and_cards_come_in_pairs() -> None:
    assert sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors")) == _CARDS
    assert {finding.network for finding in FINDINGS} <= set(_CARDS)


@pytest.mark.parametrize("name", _CARDS)
def test_a_card_tells_the_truth(name: str) -> None:
    card = read_card(name)
    assert card.name == name
    verified_blob(card)
    network, _ = load_network(name)
    assert count_parameters(network) == card.parameters
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    _check_words(card)


def _check_words(card: Card) -> None:
    for words in (card.version, card.training_data, card.licence, card.intended_use):
        assert words.strip()
    if "simulated" in card.training_data:
        assert card.statement == SIMULATED
    assert card.statement.strip()
    for threshold in card.thresholds.values():
        assert float(threshold["value"]) > 0 and threshold["policy"].strip()
    assert "/" not in card.name and card.finding in _NAMES


@pytest.mark.usefixtures("seen")
def test_half_precision_says_the_same(networks: _Networks) -> None:
    """The numbers of a GPU (bfloat16 autocast) and of the CPU are the same for a reader."""
    low = _Networks("bfloat16")
    compared = set()
    for network, task, arrays in networks.asked:
        if task == "explain" or (network, task) in compared:
            continue
        compared.add((network, task))
        few = {name: array[:4] for name, array in arrays.items()}
        exact = networks.hosted.tasks[network, task].compute(few)
        rough = low.hosted.tasks[network, task].compute(few)
        for name in ("probabilities", "ef", "borders"):
            if name in exact:
                np.testing.assert_allclose(
                    rough[name], exact[name], rtol=1e-2, atol=1e-2, err_msg=f"{network} {name}"
                )
    assert {network for network, _ in compared} == {finding.network for finding in FINDINGS}
