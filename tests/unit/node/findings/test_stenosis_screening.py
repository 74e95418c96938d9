"""Stenosis screening: how halves are joined, calibrated and named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.inputs import Radiograph, Recording, Waveform
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Observation, Subject
from node.findings.stenosis_screening import StenosisScreening
from node.results import codes
from node.results.primitives import ImageReference
from tests.pairing_bench import ECG_SCORE, FILM_SCORE, Networks, cards

FINDING = StenosisScreening()
FILM = ImageReference("1.2.840.10008.5.1.4.1.1.1", "1.1.1", "1.1.0", "1.1")
ECG = ImageReference("1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.1", "1.2.0", "1.2")
WEIGHTS = [card.sha256 for card in cards().values()]


def half(of: str, score: float, **more: Any) -> Observation:
    rules = {
        "pair": {"slope": 1.0, "intercept": 0.0, "threshold": 0.5},
        "ecg": {"slope": 2.0, "intercept": 0.0, "threshold": 0.5},
        "xray": {"slope": 1.0, "intercept": -1.0, "threshold": 0.5},
    }
    made = {
        "of": of, "score": score, "total": score, "spread": 0.0, "windows": 3, "rules": rules,
        "weights": WEIGHTS, "unusual": None, "outline": [[10, 10], [60, 10], [60, 80], [10, 80]],
    }  # fmt: skip
    return {**made, **more}


def joined(xray: Observation, ecg: Observation, days: float = -2.14) -> Observation:
    return FINDING.combine(xray, ecg, ECG, days)


def presence(observation: Observation) -> str:
    (group,) = FINDING.summarise([(FILM, observation)])
    (answer,) = group.qualitative
    return answer.value.meaning


def test_the_scores_add_up_before_they_are_calibrated() -> None:
    pair = joined(half("xray", 0.5), half("ecg", -0.1))
    (group,) = FINDING.summarise([(FILM, pair)])
    assert group.measurement.name == codes.PROBABILITY
    assert group.measurement.value == pytest.approx(100 / (1 + np.exp(-0.4)), abs=0.05)
    assert group.region.image == FILM
    assert group.comment == "AS 60 %: X-ray + ECG -2.1 d"
    assert group.tracking_id == "Study: stenosis screening, ECG and X-ray"
    assert FINDING.headline(pair) == "AS 60 %: X-ray with an ECG 2.1 days before"


def test_presence_follows_the_threshold_and_what_is_unusual() -> None:
    assert presence(joined(half("xray", 0.5), half("ecg", -0.4))) == "Present"
    assert presence(joined(half("xray", 0.5), half("ecg", -0.6))) == "Absent"
    strange = {"percentile": 100.0, "outside": True}
    usual = {"percentile": 40.0, "outside": False}
    pair = joined(half("xray", 0.5, unusual=usual), half("ecg", -0.4, unusual=strange))
    assert presence(pair) == "Undetermined"
    (group,) = FINDING.summarise([(FILM, pair)])
    assert group.unusual is not None
    assert group.unusual.percentile == 100.0


def test_one_modality_has_its_own_calibration_and_says_that_it_is_alone() -> None:
    (film,) = FINDING.summarise([(FILM, half("xray", 0.5))])
    (ecg,) = FINDING.summarise([(ECG, half("ecg", 0.5))])
    assert film.measurement.value == pytest.approx(100 / (1 + np.exp(0.5)), abs=0.05)
    assert ecg.measurement.value == pytest.approx(100 / (1 + np.exp(-1.0)), abs=0.05)
    assert film.comment == "AS 38 %: X-ray ALONE, no ECG"
    assert ecg.comment == "AS 73 %: ECG ALONE, no X-ray"
    assert "X-ray ALONE" in film.tracking_id


def test_a_study_is_answered_by_its_pairs_on_the_film_with_the_nearest_ecg() -> None:
    other = ImageReference(FILM.sop_class_uid, "1.1.2", "1.1.0", "1.1")
    observations = [
        (FILM, joined(half("xray", 1.0), half("ecg", 0.0), 5.0)),
        (other, joined(half("xray", 0.0), half("ecg", 0.0), -1.0)),
        (FILM, half("xray", 9.0)),
    ]
    study, *each = FINDING.summarise(observations)
    assert study.region.image == other
    assert study.measurement.value == pytest.approx(100 / (1 + np.exp(-0.5)), abs=0.05)
    assert len(each) == 3
    assert len({group.tracking_id for group in (study, *each)}) == 4


def test_halves_of_different_weights_are_not_joined() -> None:
    with pytest.raises(NotAnalysableError, match="different weights"):
        joined(half("xray", 0.5), half("ecg", 0.5, weights=["old", "old"]))


def test_quality_gates_withhold_with_a_reason() -> None:
    flat = Recording((Waveform(np.zeros((12, 5000), np.float32), _LEADS, 500.0),))
    with pytest.raises(NotAnalysableError, match="the ECG was not read: leads are flat"):
        _analyse(flat, "waveform")
    film = np.random.default_rng(1).random((300, 250)).astype(np.float32)
    with pytest.raises(NotAnalysableError, match="the view is LL"):
        _analyse(Radiograph(film, view_position="LL"), "radiograph")
    with pytest.raises(NotApplicableError, match="the body part is HAND"):
        _analyse(Radiograph(film, body_part="HAND"), "radiograph")


def test_an_ecg_is_averaged_over_its_windows() -> None:
    observation = _analyse(_ecg(), "waveform")
    assert observation["score"] == pytest.approx(ECG_SCORE)
    assert observation["windows"] == 9
    assert observation["spread"] == pytest.approx(0.0, abs=1e-6)
    assert observation["weights"] == WEIGHTS
    assert FINDING.headline(observation) == "ECG part of stenosis screening, score +0.60"
    assert FILM_SCORE != ECG_SCORE


_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def _ecg() -> Recording:
    """Ten seconds of QRS complexes that Einthoven's law holds for."""
    time = np.arange(5000) / 500
    beat = np.exp(-((((time + 0.4) % 0.8) - 0.4) ** 2) / (2 * 0.012**2))
    wave = np.exp(-((((time + 0.1) % 0.8) - 0.4) ** 2) / (2 * 0.04**2))
    one, two = 0.8 * beat + 0.2 * wave, 1.1 * beat + 0.3 * wave
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    chest = [share * beat + 0.25 * wave for share in (-0.8, -0.5, 0.3, 0.9, 1.2, 1.0)]
    noise = np.random.default_rng(2).normal(0, 0.003, (8, 5000))
    limb[0], limb[1] = limb[0] + noise[0], limb[1] + noise[1]
    limb[2] = limb[1] - limb[0]
    signal = np.stack([*limb, *(lead + n for lead, n in zip(chest, noise[2:], strict=True))])
    return Recording((Waveform(signal.astype(np.float32), _LEADS, 500.0, "RHYTHM"),))


def _analyse(given: Any, kind: Any) -> Observation:
    return FINDING.analyse(Subject(FILM, kind, given), Networks(), cards())
