"""Every finding from sample instances to the bytes of its reports and captures and back.

Whatever joins ``FINDINGS`` joins these tests; it needs an instance in ``sample_dicom`` that it
can read, and its weights.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node import findings as package
from node.findings import FINDINGS
from node.findings.base import Finding
from node.inference.messages import HostSettings
from node.inference.tasks import load_networks
from node.ledger.records import StoredObject
from node.observations import from_text, to_text
from node.pairs import role_of
from node.results import codes
from node.results.report_content import COMMENT_LENGTH
from tests.dicom_tools import dciodvfy_errors, dsrdump, pixelmed_lines
from tests.results_objects import SAMPLES
from tests.sample_studies import SampleStudies, read_samples

_NAMES = [finding.name for finding in FINDINGS]
#: Real instances that are small enough for each run; the simulated patients are all read.
_REAL = (
    "echo_a4c_sonosite_30f_small",
    "echo_apical_agilent_10f",
    "ecg12_mortara_1000hz",
    "cxr_pa_philips_j2k",
)
#: Outputs that are no answers: what they become is compared instead.
_INNER = ("features", "logits")
#: Score of the detector below which no finding looks at a box.
_DOUBTFUL = 0.3

each_finding = pytest.mark.parametrize("finding", FINDINGS, ids=_NAMES)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> SampleStudies:
    """What a node makes of a simulated patient and of real instances."""
    simulated = sorted((SAMPLES / "phantom").rglob("*.dcm"))
    real = [SAMPLES / f"{name}.dcm" for name in _REAL]
    return read_samples([*simulated, *real], tmp_path_factory.mktemp("samples"))


def _reports(finding: Finding, samples: SampleStudies) -> list[StoredObject]:
    """The finding's reports; skipped where it has no weights, failed where it saw nothing."""
    problem = samples.installed.problem_of(finding)
    if problem:
        pytest.skip(f"needs: weights of {finding.name}: {problem}")
    made = [report for report in samples.reports if report.finding == finding.name]
    reasons = {o.reason for _, o in samples.outcomes if o.finding == finding.name}
    assert made, f"nothing in sample_dicom is analysed by {finding.name}: {reasons}"
    return made


def test_every_finding_is_in_the_tuple() -> None:
    defined = set()
    for file in pkgutil.iter_modules(package.__path__, "node.findings."):
        for _, one in inspect.getmembers(importlib.import_module(file.name), inspect.isclass):
            if isinstance(vars(one).get("series_number"), int):
                defined.add(one)
    assert defined == {type(finding) for finding in FINDINGS}


def test_findings_can_be_told_apart() -> None:
    assert len({finding.name for finding in FINDINGS}) == len(FINDINGS)
    assert len({finding.title for finding in FINDINGS}) == len(FINDINGS)
    numbers = [9000, *(finding.series_number for finding in FINDINGS)]
    assert len({*numbers, *(number + 1 for number in numbers)}) == 2 * len(numbers)


@each_finding
def test_the_networks_of_a_finding_name_it_in_their_cards(
    finding: Finding, samples: SampleStudies
) -> None:
    _reports(finding, samples)
    assert finding.networks
    assert samples.installed.cards[finding.networks[0]].finding == finding.name


@each_finding
def test_observations_survive_the_ledger(finding: Finding, samples: SampleStudies) -> None:
    _reports(finding, samples)
    for observation in samples.observations(finding):
        assert from_text(to_text(observation)) == observation
        assert finding.headline(observation).isprintable()
        assert 0 < len(finding.headline(observation)) <= 2 * COMMENT_LENGTH


@each_finding
def test_every_result_says_how_unusual_its_input_is(
    finding: Finding, samples: SampleStudies
) -> None:
    _reports(finding, samples)
    for observation in samples.observations(finding):
        unusual = observation["unusual"]
        assert 0 <= unusual["percentile"] <= 100
        assert isinstance(unusual["outside"], bool)


@each_finding
def test_a_report_says_what_the_finding_said(finding: Finding, samples: SampleStudies) -> None:
    for made in _reports(finding, samples):
        path = samples.path(made)
        report = dcmread(path)
        written = [item for item in _items(report) if _code(item) == "125007"]
        groups = samples.groups(finding, made.study_instance_uid)
        # the study's answer and one of each instance; of a pair there is only the study's
        joins = any(role_of(finding, kind) is not None for kind in finding.kinds)
        assert len(written) == len(groups) >= (1 if joins else 2)
        assert len({group.tracking_id for group in groups}) == len(groups)
        for item, group in zip(written, groups, strict=True):
            (number,) = [each for each in item.ContentSequence if each.ValueType == "NUM"]
            assert _code(number) == group.measurement.name.value
            value = float(number.MeasuredValueSequence[0].NumericValue)
            assert value == pytest.approx(group.measurement.value)
            assert group.comment and group.tracking_id in _texts(item)
            assert group.unusual is not None
            answers = {
                _code(each): each.ConceptCodeSequence[0].CodeValue
                for each in item.ContentSequence
                if each.ValueType == "CODE"
            }
            outside = codes.OUTSIDE_TRAINING if group.unusual.outside else codes.INSIDE_TRAINING
            assert answers[codes.RELATIVE_TO_TRAINING.value] == outside.value
            for answer in group.qualitative:
                assert answers[answer.name.value] == answer.value.value
            _check_region(number, samples)
        cards = [samples.installed.cards[name] for name in finding.networks]
        for card in cards:
            assert card.sha256 in dsrdump(path)
        assert cards[0].statement in dsrdump(path)


def _check_region(number: Dataset, samples: SampleStudies) -> None:
    """Viewers draw a number that has one region on an image, and nothing else."""
    (region,) = number.ContentSequence
    points = np.array(region.GraphicData, dtype=float).reshape(-1, 2)
    assert region.GraphicType == "POLYLINE" and (points[0] == points[-1]).all()
    assert len(points) >= 4
    image = region.ContentSequence[0].ReferencedSOPSequence[0]
    source = dcmread(samples.source(image.ReferencedSOPInstanceUID), stop_before_pixels=True)
    assert ((points >= 0) & (points <= [source.Columns, source.Rows])).all()
    frames = int(source.get("NumberOfFrames", 1))
    assert ("ReferencedFrameNumber" in image) == (frames > 1)
    assert 1 <= int(image.get("ReferencedFrameNumber", 1)) <= frames


def _items(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _code(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def _texts(item: Dataset) -> list[str]:
    return [each.TextValue for each in item.ContentSequence if each.ValueType == "TEXT"]


@each_finding
def test_results_pass_dciodvfy(finding: Finding, samples: SampleStudies) -> None:
    drawn = [each for each in samples.captures if each.finding == finding.name]
    made = _reports(finding, samples)
    assert drawn
    for stored in chain(made, drawn):
        assert dciodvfy_errors(samples.path(stored)) == [], stored.path


@pytest.mark.slow
@each_finding
def test_a_report_passes_the_template_validator(finding: Finding, samples: SampleStudies) -> None:
    lines = pixelmed_lines(samples.path(_reports(finding, samples)[0]))
    assert any("IOD validation complete" in line for line in lines)
    assert [line for line in lines if "error" in line.lower() or "exception" in line.lower()] == []


@each_finding
def test_every_observation_has_a_picture(finding: Finding, samples: SampleStudies) -> None:
    _reports(finding, samples)
    captures = [each for each in samples.captures if each.finding == finding.name]
    seen = {
        r.sop_instance_uid
        for r, o in samples.outcomes
        if o.finding == finding.name and o.observation is not None
    }
    assert {each.instance_sop_uid for each in captures} == seen
    for each in captures:
        capture = dcmread(samples.path(each))
        assert capture.SeriesNumber == finding.series_number + 1
        pixels = capture.pixel_array
        first = pixels[0] if pixels.ndim == 4 else pixels
        assert max(first.shape[:2]) <= 2048
        assert len({tuple(colour) for colour in first.reshape(-1, 3)[::97].tolist()}) > 20


def test_what_could_not_be_made_is_in_one_report_of_each_study(samples: SampleStudies) -> None:
    missing = [(row, o) for row, o in samples.outcomes if o.state in ("not_analysed", "failed")]
    reports = {r.study_instance_uid: r for r in samples.reports if r.finding == "not_analysed"}
    assert set(reports) == {row.study_instance_uid for row, _ in missing}
    for study_uid, made in reports.items():
        path = samples.path(made)
        assert dciodvfy_errors(path) == []
        texts = [item.TextValue for item in _items(dcmread(path)) if item.ValueType == "TEXT"]
        for row, outcome in missing:
            if row.study_instance_uid == study_uid:
                assert any(outcome.reason.rstrip(".") in text for text in texts)


def test_nothing_is_decoded_or_forwarded_twice(samples: SampleStudies) -> None:
    assert set(samples.decoded.values()) == {1}
    assert {name: dict(twice) for name, twice in samples.repeated.items() if twice} == {}


def test_half_precision_says_the_same(samples: SampleStudies) -> None:
    """The numbers of a GPU (bfloat16 autocast) and of the CPU agree to a hundredth."""
    low = load_networks(HostSettings(device="cpu", precision="bfloat16")).tasks
    exact = samples.networks.hosted.tasks
    compared = set()
    for network, task, arrays in samples.networks.asked:
        if task == "explain" or (network, task) in compared:
            continue
        compared.add((network, task))
        few = {name: array[:4] for name, array in arrays.items()}
        fine, rough = exact[network, task].compute(few), low[network, task].compute(few)
        if "boxes" in fine:  # which of many doubtful boxes is the surest is not an answer
            sure = fine["boxes"][:, 0, 4] >= _DOUBTFUL
            fine, rough = ({"boxes": said["boxes"][sure, 0]} for said in (fine, rough))
        for name in sorted(set(fine) - set(_INNER)):
            size = max(float(np.linalg.norm(fine[name])), 1e-6)
            off = float(np.linalg.norm(rough[name] - fine[name])) / size
            assert off <= 1e-2, f"{network} {task} {name}: {off:.4f}"
    made = {n for f in FINDINGS if not samples.installed.problem_of(f) for n in f.networks}
    assert {network for network, _ in compared} == made
