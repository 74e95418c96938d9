"""The echo findings: what they ask of the networks and what they say of their answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.cards import Card
from models.inputs import Box, Clip
from models.unusual import FeatureStatistics
from models.volumes import disc_sum_ejection_fraction
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Subject
from node.findings.echo_view import EchoView
from node.findings.ejection_fraction import EjectionFraction
from node.results import codes
from node.results.primitives import ImageReference, Unusual

IMAGE = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3", "1.2", "1")


def card(**thresholds: float) -> Card:
    return Card(
        name="x", version="1", network="X", finding="x", sha256="", parameters=1,
        training_data="", licence="", normalisation={}, input={}, metrics={},
        thresholds={name: {"value": value, "policy": ""} for name, value in thresholds.items()},
        intended_use="", statement="",
    )  # fmt: skip


VIEW_CARD = {"view_net": card(view_probability=0.6)}
EF_CARD = {"echo_e3net": card(border_disagreement_percent=15.0)}


def borders(shrink: float) -> npt.NDArray[np.float32]:
    """Chords of an ellipse at end-diastole, and the same made narrower."""
    y = (np.arange(20) + 0.5) / 20 * 0.4 + 0.3
    half = 0.12 * np.sqrt(1 - ((y - 0.5) / 0.21) ** 2)
    both = [np.stack([0.5 - half * s, y, 0.5 + half * s, y], axis=1) for s in (1.0, shrink)]
    return np.stack(both).astype(np.float32)


class Networks:
    """Answers as if it had seen one view and one ejection fraction; remembers the requests."""

    def __init__(self, view: int = 2, probability: float = 0.9, ef: float = 0.5) -> None:
        self.requests: list[tuple[str, str, dict[str, npt.NDArray[Any]]]] = []
        self._ef = ef
        self._probabilities = np.full(5, (1 - probability) / 4, np.float32)
        self._probabilities[view] = probability

    def run(
        self, network: str, task: str, arrays: dict[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        self.requests.append((network, task, arrays))
        rows = len(next(iter(arrays.values())))
        if task == "classify":
            return {
                "probabilities": np.tile(self._probabilities, (rows, 1)),
                "features": np.zeros((rows, 3)),
            }
        if task == "predict":
            found = borders(float(np.sqrt(1 - self._ef)))
            return {
                "ef": np.full(rows, self._ef, np.float32),
                "borders": np.tile(found, (rows, 1, 1, 1)),
                "features": np.zeros((rows, 3)),
            }
        shape = (rows, 32, 112, 112) if network == "echo_e3net" else (rows, 112, 112)
        return {"heat": np.random.default_rng(0).random(shape, np.float32)}


def clip(frames: int = 70, frame_time_ms: float = 20.0, **more: Any) -> Clip:
    fan = np.zeros((240, 320), np.uint8)
    cv2.ellipse(fan, (160, 10), (200, 200), 0, 50, 130, 255, -1)
    noise = np.random.default_rng(1).integers(40, 200, (frames, 240, 320)).astype(np.uint8)
    grey = np.where(fan > 0, noise, 0).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=3)
    return Clip(grey, colour, np.arange(frames, dtype=np.float64) * frame_time_ms, **more)


def seen(view: str = "A4C", *, certain: bool = True) -> dict[str, Any]:
    return {"view": view, "probability": 0.9 if certain else 0.5, "certain": certain}


def subject(source: Clip, **earlier: dict[str, Any]) -> Subject:
    return Subject(IMAGE, "clip", source, dict(earlier))


def test_view_is_the_mean_over_the_clip_and_names_its_frame() -> None:
    networks = Networks(view=2, probability=0.9)
    observation = EchoView().analyse(subject(clip()), networks, VIEW_CARD)
    assert (observation["view"], observation["certain"]) == ("A4C", True)
    assert observation["probability"] == pytest.approx(0.9)
    assert 1 <= observation["frame"] <= 70
    frames = networks.requests[0][2]["frames"]
    assert frames.shape == (48, 112, 112) and frames.dtype == np.uint8
    groups = EchoView().summarise([(IMAGE, observation)])
    assert groups[0].qualitative[0].value == codes.VIEW_A4C
    assert groups[0].measurement.value == pytest.approx(90.0)
    assert len(groups[0].region.points) >= 3


def test_view_below_the_cards_threshold_is_not_certain() -> None:
    observation = EchoView().analyse(subject(clip()), Networks(probability=0.5), VIEW_CARD)
    assert not observation["certain"]
    assert "uncertain" in EchoView().headline(observation)


def test_image_without_a_sector_has_no_view() -> None:
    dark = np.zeros((5, 64, 64), np.uint8)
    empty = Clip(dark, np.repeat(dark[..., None], 3, axis=3), np.arange(5, dtype=np.float64) * 30.0)
    with pytest.raises(NotApplicableError, match="no ultrasound sector"):
        EchoView().analyse(subject(empty), Networks(), VIEW_CARD)
    declared = replace(empty, region=Box(8, 8, 56, 56))
    with pytest.raises(NotAnalysableError, match="nothing can be seen where the header"):
        EchoView().analyse(subject(declared), Networks(), VIEW_CARD)


def test_ejection_fraction_averages_all_clips_of_the_cine() -> None:
    networks = Networks(ef=0.5)
    observation = EjectionFraction().analyse(
        subject(clip(frames=120), echo_view=seen()), networks, EF_CARD
    )
    assert observation["percent"] == pytest.approx(50.0)
    assert observation["disc_sum_percent"] == pytest.approx(50.0, abs=0.5)
    arrays = networks.requests[0][2]
    assert arrays["clips"].shape == (15, 32, 112, 112)  # starts 0, 4 ... 56 of 120 - 63 + 1
    assert arrays["valid"].tolist() == [32] * 15
    outline = np.asarray(observation["ed_outline"])
    assert outline.shape == (40, 2)
    assert outline.min() > 0 and outline[:, 0].max() < 320 and outline[:, 1].max() < 240


@pytest.mark.parametrize(
    ("view", "frames", "more", "error", "reason"),
    [
        (seen("PLAX"), 70, {}, NotApplicableError, "view PLAX: not apical"),
        (seen("other"), 70, {}, NotApplicableError, "not apical"),
        (seen(certain=False), 70, {}, NotAnalysableError, "view uncertain"),
        (seen(), 10, {}, NotAnalysableError, "less than a heart beat of 0.60 s"),
        (seen(), 62, {}, NotAnalysableError, "62 frames; the network needs 63"),
        (seen(), 40, {"heart_rate_bpm": 60.0}, NotAnalysableError, "heart beat of 1.00 s"),
        (seen(), 40, {"r_wave_times_ms": (0.0, 900.0)}, NotAnalysableError, "of 0.90 s"),
    ],
)
def test_ejection_fraction_that_is_not_deserved(
    view: dict[str, Any], frames: int, more: dict[str, Any], error: type[Exception], reason: str
) -> None:
    networks = Networks()
    with pytest.raises(error, match=reason):
        EjectionFraction().analyse(
            subject(clip(frames=frames, **more), echo_view=view), networks, EF_CARD
        )
    assert networks.requests == []


def test_ejection_fraction_whose_borders_contradict_it_is_withheld() -> None:
    class Contradicting(Networks):
        def run(
            self, network: str, task: str, arrays: dict[str, npt.NDArray[Any]]
        ) -> dict[str, npt.NDArray[Any]]:
            answer = super().run(network, task, arrays)
            return {**answer, "ef": answer["ef"] + 0.3} if task == "predict" else answer

    with pytest.raises(NotAnalysableError, match="differ by more than 15 points"):
        EjectionFraction().analyse(
            subject(clip(), echo_view=seen()), Contradicting(ef=0.4), EF_CARD
        )


def test_study_answer_is_the_mean_on_the_surest_clip() -> None:
    finding = EjectionFraction()
    first = finding.analyse(subject(clip(), echo_view=seen()), Networks(ef=0.4), EF_CARD)
    second = finding.analyse(subject(clip(), echo_view=seen("A2C")), Networks(ef=0.6), EF_CARD)
    second["view_probability"] = 0.99
    other = ImageReference(IMAGE.sop_class_uid, "1.2.4", "1.2", "1")
    groups = finding.summarise([(IMAGE, first), (other, second)])
    assert [round(g.measurement.value) for g in groups] == [50, 40, 60]
    assert groups[0].region.image.sop_instance_uid == "1.2.4"
    assert groups[2].qualitative[0].value == codes.VIEW_A2C
    assert all(len(g.comment) <= 30 for g in groups)


def test_explanation_covers_every_frame() -> None:
    finding, one = EjectionFraction(), subject(clip(frames=121), echo_view=seen())
    networks = Networks()
    observation = finding.analyse(one, networks, EF_CARD)
    shown = finding.explain(one, observation, networks)
    assert shown.maps.shape[0] == 121 and len(shown.positions) == 121
    assert shown.maps.min() >= 0 and shown.maps.max() <= 1
    assert set(shown.outlines) == {observation["frame"] - 1, observation["systolic_frame"] - 1}


def test_what_is_far_from_the_training_data_says_so() -> None:
    far = FeatureStatistics.fit(np.random.default_rng(0).normal(9.0, 1.0, (100, 3))).as_json()
    cards = {"view_net": replace(VIEW_CARD["view_net"], feature_statistics=far)}
    observation = EchoView().analyse(subject(clip()), Networks(), cards)
    assert observation["unusual"] == {"percentile": 100.0, "outside": True}
    assert [g.unusual for g in EchoView().summarise([(IMAGE, observation)])] == [
        Unusual(100.0, True)
    ] * 2


def test_the_mean_of_clips_is_as_unusual_as_its_most_unusual_clip() -> None:
    finding = EjectionFraction()
    one = finding.analyse(subject(clip(), echo_view=seen()), Networks(), EF_CARD)
    assert one["unusual"] is None  # the card has no statistics
    usual = {**one, "unusual": {"percentile": 80.0, "outside": False}}
    odd = {**one, "unusual": {"percentile": 99.5, "outside": True}, "view_probability": 0.1}
    groups = finding.summarise([(IMAGE, usual), (IMAGE, odd), (IMAGE, one)])
    outside, inside = Unusual(99.5, True), Unusual(80.0, False)
    assert [g.unusual for g in groups] == [outside, inside, outside, None]


def test_disc_sum_knows_a_cylinder() -> None:
    y = np.linspace(0.1, 0.9, 20)
    chords = [np.stack([0.5 - r + 0 * y, y, 0.5 + r + 0 * y, y], axis=1) for r in (0.2, 0.1)]
    assert disc_sum_ejection_fraction(np.stack(chords)) == pytest.approx(0.75)
