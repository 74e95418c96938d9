"""The septal flash finding: what it asks of the networks, what it says, and when it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.cards import Card
from models.inputs import Clip, Still
from models.r_peaks import FROM_VECTOR
from models.septal_flash_net import SIZE
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Drawing, Subject
from node.findings.septal_flash import SeptalFlash
from node.results import codes
from node.results.primitives import ImageReference

IMAGE = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3", "1.2", "1")
R_PEAKS = (105.0, 1005.0)


def card(variant: str = "cropped") -> Card:
    return Card(
        name="x", version="1", network="X", finding="x", sha256="", parameters=1, macs=0,
        training_data="", licence="", normalisation={}, input={"variant": variant}, metrics={},
        paper={}, thresholds={
            "septal_flash_probability": {"value": 0.4, "policy": ""},
            "septum_contrast": {"value": 20.0, "policy": ""},
        },
        intended_use="", statement="",
        calibration={"septal_flash_slope": 2.0, "septal_flash_intercept": 0.0},
    )  # fmt: skip


CARDS = {"septal_flash": card(), "echo_e3net": card()}


class Networks:
    """Finds an upright ventricle, and a flash with the given logit in one corner of the map."""

    def __init__(self, logit: float = 1.0) -> None:
        self.requests: list[tuple[str, str, dict[str, npt.NDArray[Any]]]] = []
        self._logit = logit

    def run(
        self, network: str, task: str, arrays: dict[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        self.requests.append((network, task, arrays))
        if network == "echo_e3net":
            rows = len(arrays["clips"])
            y = 0.25 + 0.45 * (np.arange(20) + 0.5) / 20
            chords = np.stack([np.full(20, 0.42), y, np.full(20, 0.6), y], axis=1)
            borders = np.tile(chords, (rows, 2, 1, 1)).astype(np.float32)
            return {"ef": np.full(rows, 0.5, np.float32), "borders": borders}
        if task == "predict":
            return {
                "logits": np.array([[0.0, self._logit]], np.float32),
                "features": np.ones((1, 1024), np.float32),
            }
        heat = np.zeros((1, 8, 8), np.float32)
        heat[0, 4:6, 1:3] = 3.0
        return {"heat": heat}

    def asked(self) -> list[tuple[str, str]]:
        return [(network, task) for network, task, _ in self.requests]


def clip(frames: int = 70, frame_time_ms: float = 20.0, **more: Any) -> Clip:
    fan = np.zeros((240, 320), np.uint8)
    cv2.ellipse(fan, (160, 10), (200, 200), 0, 50, 130, 255, -1)
    noise = np.random.default_rng(1).integers(40, 200, (frames, 240, 320)).astype(np.uint8)
    grey = np.where(fan > 0, noise, 0).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=3)
    times = np.arange(frames, dtype=np.float64) * frame_time_ms
    return Clip(grey, colour, times, **{"r_wave_times_ms": R_PEAKS, **more})


def seen(view: str = "A4C", *, certain: bool = True) -> dict[str, Any]:
    return {"view": view, "probability": 0.9 if certain else 0.5, "certain": certain}


def subject(source: Any = None, **earlier: dict[str, Any]) -> Subject:
    return Subject(IMAGE, "clip", source or clip(), {"echo_view": seen(), **earlier})


def test_strip_is_read_and_the_answer_calibrated() -> None:
    networks = Networks(logit=1.0)
    observation = SeptalFlash().analyse(subject(), networks, CARDS)
    assert networks.asked() == [
        ("echo_e3net", "predict"), ("septal_flash", "predict"), ("septal_flash", "explain"),
    ]  # fmt: skip
    strips = networks.requests[1][2]["strips"]
    assert strips.shape == (1, SIZE, SIZE) and strips.dtype == np.uint8 and strips.std() > 5
    assert observation["probability"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert observation["present"] is True
    assert networks.requests[2][2]["answer"].tolist() == [1]
    assert observation["cycle_ms"] == list(R_PEAKS)
    assert observation["frame"] == 6  # 100 ms, nearest to the R peak at 105 ms
    assert observation["r_peaks"] == FROM_VECTOR
    assert observation["localisation"] > 0.5


def test_line_crosses_the_septum_in_the_source() -> None:
    observation = SeptalFlash().analyse(subject(), Networks(), CARDS)
    (x0, y0), (x1, y1) = observation["line_pixels"]
    assert x0 < x1 and abs(y1 - y0) < 0.1 * (x1 - x0)  # the ventricle is upright
    outline = np.asarray(observation["outline"])
    assert outline.shape == (4, 2)
    assert outline.min() > 0 and outline[:, 0].max() < 320 and outline[:, 1].max() < 240
    septum = np.asarray(observation["septum_pixels"])
    assert outline[:, 0].min() < septum[14, 0] < outline[:, 0].max()
    assert outline[:, 1].min() < septum[14, 1] < outline[:, 1].max()


def test_absent_flash_is_explained_as_such_and_has_no_localisation_group() -> None:
    networks = Networks(logit=-2.0)
    observation = SeptalFlash().analyse(subject(), networks, CARDS)
    assert observation["present"] is False
    assert networks.requests[2][2]["answer"].tolist() == [0]
    groups = SeptalFlash().summarise([(IMAGE, observation)])
    assert [g.measurement.name for g in groups] == [codes.PROBABILITY] * 2
    assert all(codes.ABSENT in [q.value for q in g.qualitative] for g in groups)


def test_present_flash_in_the_report() -> None:
    first = SeptalFlash().analyse(subject(), Networks(logit=1.0), CARDS)
    second = SeptalFlash().analyse(subject(), Networks(logit=-1.0), CARDS)
    second["view_probability"] = 0.99
    other = ImageReference(IMAGE.sop_class_uid, "1.2.4", "1.2", "1")
    groups = SeptalFlash().summarise([(IMAGE, first), (other, second)])
    assert groups[0].measurement.value == pytest.approx(50.0, abs=0.1)
    assert groups[0].qualitative[1].value == codes.PRESENT  # 50 % is above the card's 40 %
    assert groups[0].region.image.sop_instance_uid == "1.2.4"
    assert len({g.tracking_id for g in groups}) == len(groups)
    names = [g.measurement.name for g in groups]
    assert names == [
        codes.PROBABILITY, codes.PROBABILITY, codes.FLASH_ACTIVATION, codes.PROBABILITY,
    ]  # fmt: skip
    assert all(len(g.comment) <= 50 for g in groups)
    # at the R peaks of 105 and 1005 ms, and 90 ms after the first
    assert [g.region.image.frame for g in groups] == [6, 51, 11, 51]


def test_what_the_ejection_fraction_asked_is_not_asked_again() -> None:
    one, networks = subject(), Networks()
    SeptalFlash().analyse(one, networks, CARDS)
    SeptalFlash().analyse(one, networks, CARDS)
    assert networks.asked().count(("echo_e3net", "predict")) == 1


@pytest.mark.parametrize(
    ("view", "source", "error", "reason"),
    [
        (seen("A2C"), {}, NotApplicableError, "view A2C: not apical four-chamber"),
        (seen("PLAX"), {}, NotApplicableError, "not apical four-chamber"),
        (seen(certain=False), {}, NotAnalysableError, "view uncertain: A4C 50 %"),
        (seen(), {"r_wave_times_ms": ()}, NotAnalysableError, "no R peaks"),
        (seen(), {"r_wave_times_ms": (50.0,)}, NotAnalysableError, "no R peaks"),
        (seen(), {"r_wave_times_ms": (500.0, 1700.0)}, NotAnalysableError, "no whole heart cycle"),
        (seen(), {"frame_time_ms": 33.0}, NotAnalysableError, "27 frames; 30 are needed"),
        (seen(), {"frames": 55}, NotAnalysableError, "55 frames; the network needs 63"),
    ],
)
def test_refusals_have_reasons(
    view: dict[str, Any], source: dict[str, Any], error: type[Exception], reason: str
) -> None:
    networks = Networks()
    with pytest.raises(error, match=reason):
        SeptalFlash().analyse(subject(clip(**source), echo_view=view), networks, CARDS)
    assert networks.requests == []


def test_a_septum_that_is_not_seen_is_not_read() -> None:
    bright, networks = clip(), Networks()
    shadowed = bright.frames.copy()
    shadowed[:, 105:155] //= 30  # the rows that the line crosses
    dark = replace(bright, frames=shadowed)
    with pytest.raises(NotAnalysableError, match="septum can't be seen on the scan line"):
        SeptalFlash().analyse(subject(dark), networks, CARDS)
    assert networks.asked() == [("echo_e3net", "predict")]


def test_stills_and_unknown_views() -> None:
    still = Still(clip().frames[0], clip().colour[0])
    with pytest.raises(NotApplicableError, match="moving image"):
        SeptalFlash().analyse(subject(still), Networks(), CARDS)
    with pytest.raises(NotAnalysableError, match="view is not known"):
        SeptalFlash().analyse(Subject(IMAGE, "clip", clip()), Networks(), CARDS)


@pytest.mark.parametrize("spacing", [None, (0.4, 0.4)])
@pytest.mark.parametrize("variant", ["cropped", "whole"])
def test_drawing_shows_two_pages_with_and_without_heat(
    spacing: tuple[float, float] | None, variant: str
) -> None:
    one, networks = subject(clip(pixel_spacing_mm=spacing)), Networks()
    cards = {**CARDS, "septal_flash": card(variant)}
    observation = SeptalFlash().analyse(one, networks, cards)
    asked = len(networks.requests)
    drawing = SeptalFlash().explain(one, observation, networks)
    assert isinstance(drawing, Drawing)
    assert len(networks.requests) == asked  # the heat is kept in the observation
    assert drawing.frames.shape[0] == 2 and drawing.frames.dtype == np.uint8
    heat, plain = drawing.frames.astype(int)
    differs = np.abs(heat - plain).max(2) > 30
    assert differs.mean() > 0.01
    assert not differs[:, : differs.shape[1] // 2].any()  # frame and whole strip are the same
    assert drawing.method == codes.GRADIENT_CLASS_ACTIVATION
    assert "present" in drawing.headline
