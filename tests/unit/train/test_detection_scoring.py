"""Right and wrong boxes are counted as by hand."""

from __future__ import annotations

import numpy as np
import pytest

import train.tasks  # noqa: F401 - tasks and their scoring import each other; this order works
from train.scoring import detection
from train.scoring.valve_calcification import _sure
from train.scoring.valve_detection import _thresholds, finding_confidence

TRUE = [0.0, 0.0, 10.0, 10.0]
FAR = [50.0, 50.0, 60.0, 60.0]
HALF = [0.0, 0.0, 10.0, 6.0]  # IoU 0.6


def boxes(*found: tuple[list[float], float]) -> np.ndarray:
    return np.array([[*box, score] for box, score in found]).reshape(-1, 5)


@pytest.fixture
def matched() -> detection.Matched:
    found = [
        boxes((TRUE, 0.9), (FAR, 0.3)),  # found, and a weak wrong one
        boxes((FAR, 0.8), (HALF, 0.6)),  # a wrong one is surer
        boxes(),  # missed
        boxes((FAR, 0.4)),  # no valve there
    ]
    truth = np.tile(np.array(TRUE), (4, 1))
    return detection.match(found, truth, np.array([True, True, True, False]))


def test_counts_by_confidence_and_overlap(matched: detection.Matched) -> None:
    table = detection.counts(matched, 0.25)
    assert table.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert detection.precision(table) == pytest.approx(2 / 5)
    assert detection.recall(table) == pytest.approx(2 / 3)
    assert detection.f1(table) == pytest.approx(4 / (4 + 3 + 1))
    sure = detection.counts(matched, 0.5)
    assert sure.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]]
    strict = detection.counts(matched, 0.5, least_overlap=0.75)
    assert strict[1].tolist() == [0, 2, 1]


def test_average_precision_by_hand(matched: detection.Matched) -> None:
    # by score: right .9, wrong .8, right .6, wrong .4, wrong .3; three valves
    wanted = (1.0 + 2 / 3) / 3
    area = detection.average_precision(matched.present, matched.score, matched.overlap)
    assert area == pytest.approx(wanted)
    strict = detection.average_precision(matched.present, matched.score, matched.overlap, 0.75)
    assert strict == pytest.approx(1 / 3)


def test_a_second_box_on_the_same_valve_is_wrong() -> None:
    m = detection.match([boxes((TRUE, 0.9), (HALF, 0.8))], np.array([TRUE]), np.array([True]))
    assert detection.counts(m, 0.5).tolist() == [[1, 1, 0]]
    assert detection.average_precision(m.present, m.score, m.overlap) == pytest.approx(1.0)


def test_the_confidence_finds_most_valves_at_the_wanted_precision(
    matched: detection.Matched,
) -> None:
    # above .80 every box is right, and from .41 to .60 both valves are found with one wrong box
    assert finding_confidence(matched, 0.95) == pytest.approx(0.9)
    assert finding_confidence(matched, 0.6) == pytest.approx(0.6)
    thresholds = _thresholds(matched, 0.6)
    assert thresholds["no_valve_confidence"]["value"] == pytest.approx(0.4)
    assert thresholds["valve_confidence"]["value"] == pytest.approx(0.6, abs=1e-3)


def test_few_of_the_healthy_are_surely_calcified() -> None:
    truth = np.array([0] * 40 + [1] * 10)
    probability = np.concatenate([np.linspace(0.0, 0.78, 40), np.full(10, 0.9)])
    value = _sure(truth, probability, 0.1)["value"]
    assert (probability[:40] >= value).mean() <= 0.05
    assert (probability[:40] >= value - 0.03).mean() > 0.05
    assert _sure(truth, probability, 0.85)["value"] == pytest.approx(0.85)  # never below the other
