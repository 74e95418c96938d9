"""The pipeline: what one finding makes of it costs the others nothing; what is missing is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from models.cards import Card
from models.inputs import Clip, Decoded
from node.decode.examined import Examined
from node.errors import (
    BadObjectError,
    HostDiedError,
    NotAnalysableError,
    NotApplicableError,
    PermanentError,
)
from node.facts import InstanceFacts, Kind
from node.findings.base import Drawing, Missed, Networks, Observation, Subject
from node.installed import Installed
from node.ledger.records import (
    ANY_FINDING,
    FindingOutcome,
    InstanceRow,
    Job,
    ResultRow,
    StoredObject,
)
from node.ledger.states import InstanceState, JobKind
from node.pipeline import Pipeline
from node.result_store import ResultStore
from node.results import codes
from node.results.primitives import PERCENT, Group, ImageReference, Measurement, Region, Unusual
from tests.results_objects import CLIP, DEVICE_UID, SECTOR, header

SOURCE = header()
CARD = Card(
    name="net", version="1", network="N", finding="plain", sha256="ab" * 32, parameters=1,
    training_data="", licence="", normalisation={}, input={}, metrics={}, thresholds={},
    intended_use="", statement="a statement",
)  # fmt: skip
ROW = InstanceRow(
    1, hashlib.sha256(CLIP.read_bytes()).hexdigest(), 1, str(SOURCE.SOPClassUID),
    str(SOURCE.SOPInstanceUID),
    str(SOURCE.SeriesInstanceUID), str(SOURCE.StudyInstanceUID), "1.2.840.10008.1.2.4.50", "US",
    "ECHO", False, False, InstanceState.DECODED, "", 1_700_000_000.0,
)  # fmt: skip
BROKEN = replace(
    ROW, id=2, sha256="bb" * 32, sop_instance_uid="1.2.3.4", state=InstanceState.QUARANTINED
)


class Plain:
    """A finding that says what its test wants."""

    kinds: frozenset[Kind] = frozenset({"clip"})
    networks: tuple[str, ...] = ("net",)
    needs: tuple[str, ...] = ()

    def __init__(self, name: str = "plain", series_number: int = 9010) -> None:
        self.name, self.title, self.series_number = name, f"Finding {name}", series_number
        self.error: Exception | None = None
        self.broken_picture = False
        self.subject: Subject | None = None

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        assert set(cards) == set(self.networks)
        self.subject = subject
        if self.error is not None:
            raise self.error
        return {"unusual": {"percentile": 100.0, "outside": True}}

    def headline(self, observation: Observation) -> str:
        return "all is well"

    def explain(self, subject: Subject, observation: Observation, networks: Networks) -> Drawing:
        if self.broken_picture:
            raise PermanentError("the network failed")
        frames = np.zeros((1, 40, 60, 3), np.uint8)
        return Drawing(frames, "all is well", codes.GRADIENT_CLASS_ACTIVATION)

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        at = replace(observations[0][0], frame=1)
        return (
            Group("answer", codes.IMAGE_VIEW, codes.HEART,
                  Measurement(codes.PROBABILITY, 50.0, PERCENT), Region(SECTOR, at),
                  unusual=Unusual(100.0, True)),
        )  # fmt: skip


@dataclass
class Decoder:
    calls: list[Path] = field(default_factory=list)

    def decode(self, path: Path) -> Examined:
        self.calls.append(path)
        grey = np.zeros((30, 240, 320), np.uint8)
        clip = Clip(
            grey, np.zeros((*grey.shape, 3), np.uint8), 33.0 * np.arange(30, dtype=np.float64)
        )
        facts = InstanceFacts(
            ROW.sop_class_uid, ROW.transfer_syntax_uid, has_pixels=True, frames=30,
            frame_times_known=True,
        )  # fmt: skip
        return Examined(facts, Decoded(clip), ("a note",))


class NoNetworks:
    def run(self, network: str, task: str, arrays: Any) -> Any:
        raise AssertionError("no network is asked here")


Make = Callable[..., Pipeline]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def pipeline(*findings: Plain, problems: Mapping[str, str] | None = None) -> Pipeline:
        problems = dict(problems or {})
        cards = {} if "net" in problems else {"net": CARD}
        return Pipeline(
            findings=findings,
            installed=Installed(cards, problems),
            decoder=Decoder(),
            networks=NoNetworks(),
            blob=lambda digest: CLIP if digest == ROW.sha256 else tmp_path / "unreadable",
            store=ResultStore(tmp_path, tmp_path / "results"),
            node_version="test",
            device_uid=DEVICE_UID,
        )

    (tmp_path / "unreadable").write_bytes(b"\xff" * 300)
    return pipeline


def job(revision: int = 1) -> Job:
    return Job(1, JobKind.REPORT, ROW.study_instance_uid, None, revision, 1, 1, 0.0, 0.0)


def texts(report: Dataset) -> list[str]:
    """What a report of reasons says, without who says it."""
    (findings,) = (item for item in report.ContentSequence if item.ValueType == "CONTAINER")
    return [str(item.TextValue) for item in findings.ContentSequence]


def stored(pipeline: Pipeline, one: StoredObject, tmp_path: Path) -> Dataset:
    return dcmread(BytesIO((tmp_path / one.path).read_bytes()))


def row_of(one: StoredObject, revision: int = 1) -> ResultRow:
    return ResultRow(revision, one)


def test_an_instance_is_decoded_once_for_all_findings(make: Make) -> None:
    pipeline = make(Plain(), Plain("second", 9020))
    analysis = pipeline.analyse(ROW)
    assert [o.state for o in analysis.outcomes] == ["analysed", "analysed"]
    assert len(analysis.captures) == 2
    assert pipeline.decoder.calls == [CLIP]  # type: ignore[attr-defined]


def test_what_lies_outside_the_training_distribution_is_in_the_table(make: Make) -> None:
    (outcome,) = make(Plain()).analyse(ROW).outcomes
    assert outcome.reason == "outside the training distribution; a note"


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ZeroDivisionError("secret"), "failed", "Finding plain failed (ZeroDivisionError)"),
        (PermanentError("net failed: a shape"), "failed", "net failed: a shape"),
        (NotAnalysableError("too dark"), "not_analysed", "too dark"),
    ],
)
def test_a_finding_that_fails_costs_only_its_own_result(
    make: Make, error: Exception, state: str, reason: str
) -> None:
    first = Plain()
    first.error = error
    outcomes = make(first, Plain("second", 9020)).analyse(ROW).outcomes
    assert (outcomes[0].state, outcomes[0].reason) == (state, reason)
    assert outcomes[1].state == "analysed"


@pytest.mark.parametrize(
    ("error", "applies"),
    [(NotApplicableError("no fan"), False), (NotAnalysableError("dark"), True)],
)
def test_later_findings_learn_why_an_earlier_one_saw_nothing(
    make: Make, error: Exception, applies: bool
) -> None:
    first, second = Plain(), Plain("second", 9020)
    first.error = error
    make(first, second).analyse(ROW)
    assert second.subject is not None
    assert second.subject.missed == {"plain": Missed(applies, str(error))}
    assert second.subject.earlier.keys() == {"second"}


def test_a_finding_that_only_others_need_is_asked_and_not_reported(make: Make) -> None:
    first, second = Plain(), Plain("second", 9020)
    pipeline = replace(make(first, second), unreported=frozenset({"plain"}))
    analysis = pipeline.analyse(ROW)
    assert [outcome.finding for outcome in analysis.outcomes] == ["second"]
    assert [capture.finding for capture in analysis.captures] == ["second"]
    assert second.subject is not None and second.subject.earlier.keys() == {"plain", "second"}
    outcomes = [(ROW, outcome) for outcome in analysis.outcomes]
    assert [one.finding for one in pipeline.report(job(), outcomes, (), ())] == ["second"]
    alone = replace(make(first), unreported=frozenset({"plain"}))
    (outcome,) = alone.analyse(ROW).outcomes
    assert outcome.reason == "no enabled finding takes a B-mode clip"


def test_stored_bytes_that_have_changed_are_not_analysed(make: Make) -> None:
    pipeline = make(Plain())
    with pytest.raises(BadObjectError, match="checksum"):
        pipeline.analyse(BROKEN)


def test_what_may_succeed_later_is_tried_again(make: Make) -> None:
    finding = Plain()
    finding.error = HostDiedError()
    with pytest.raises(HostDiedError):
        make(finding).analyse(ROW)


def test_a_result_without_a_picture_is_still_a_result(make: Make) -> None:
    finding = Plain()
    finding.broken_picture = True
    analysis = make(finding).analyse(ROW)
    (outcome,) = analysis.outcomes
    assert outcome.state == "analysed" and "no capture: the network failed" in outcome.reason
    assert analysis.captures == ()


def test_findings_without_weights_are_said_to_be_not_analysed(make: Make) -> None:
    pipeline = make(Plain(), problems={"net": "no readable card net.json"})
    (outcome,) = pipeline.analyse(ROW).outcomes
    assert (outcome.state, outcome.reason) == ("not_analysed", "no readable card net.json")
    (only,) = pipeline.report(job(), [(ROW, outcome)], (), ())
    assert (only.finding, only.series_number) == ("not_analysed", 9000)


def test_results_made_before_the_weights_were_lost_are_not_told_of_none(make: Make) -> None:
    outcome = FindingOutcome("plain", "analysed", "", "{}")
    pipeline = make(Plain(), problems={"net": "net.safetensors is another blob"})
    (only,) = pipeline.report(job(), [(ROW, outcome)], (), ())
    assert only.finding == "not_analysed"


def test_a_study_has_one_report_of_all_that_is_missing(make: Make, tmp_path: Path) -> None:
    first, second, third = Plain(), Plain("second", 9020), Plain("third", 9030)
    pipeline = make(first, second, third)
    outcomes = [
        (ROW, FindingOutcome("plain", "analysed", "", "{}")),
        (ROW, FindingOutcome("second", "not_analysed", "view uncertain")),
        (ROW, FindingOutcome("third", "not_applicable", "not its view")),
        (BROKEN, FindingOutcome(ANY_FINDING, "failed", "the pixel data can't be decoded")),
    ]
    reports = pipeline.report(job(), outcomes, (), ())
    assert [r.finding for r in reports] == ["plain", "not_analysed"]
    report = stored(pipeline, reports[1], tmp_path)
    assert report.PatientID == SOURCE.PatientID
    said = texts(report)
    assert said[0].startswith("All findings: not analysed: the pixel data can't be decoded (US")
    assert said[1].startswith("Finding second: not analysed: view uncertain (US, series")
    assert len(said) == 3
    # made again it is the same object, whatever the order
    again = pipeline.report(job(), outcomes, (), ())
    assert again == reports


def test_when_nothing_is_missing_there_is_no_such_report(make: Make) -> None:
    outcomes = [(ROW, FindingOutcome("plain", "analysed", "", "{}"))]
    assert [r.finding for r in make(Plain()).report(job(), outcomes, (), ())] == ["plain"]


def test_a_report_of_what_was_missing_is_superseded(make: Make, tmp_path: Path) -> None:
    pipeline = make(Plain())
    before = [(ROW, FindingOutcome("plain", "failed", "the host died"))]
    (missing,) = pipeline.report(job(), before, (), ())
    after = [(ROW, FindingOutcome("plain", "analysed", "", "{}"))]
    made, none_left = pipeline.report(job(2), after, (), [row_of(missing)])
    assert (made.finding, none_left.finding) == ("plain", "not_analysed")
    report = stored(pipeline, none_left, tmp_path)
    assert "Every finding that applies" in texts(report)[0]
    (study,) = report.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == missing.sop_instance_uid
    assert none_left.series_instance_uid == missing.series_instance_uid


def test_a_report_changes_its_uid_when_a_reason_becomes_a_result(make: Make) -> None:
    pipeline = make(Plain())
    other = replace(ROW, id=3, sha256=ROW.sha256, sop_instance_uid=ROW.sop_instance_uid)
    good = (ROW, FindingOutcome("plain", "analysed", "", "{}"))
    bad = (other, FindingOutcome("plain", "not_analysed", "too dark"))
    first = pipeline.report(job(), [good, bad], (), ())[0]
    second = pipeline.report(job(2), [good], (), [row_of(first)])[0]
    assert first.finding == second.finding == "plain"
    assert first.sop_instance_uid != second.sop_instance_uid
