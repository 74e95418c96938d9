"""Valve calcification: which frames it looks at, what it concludes, when it has nothing to say."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.cards import Card
from models.inputs import Clip, Still
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Explanation, Subject
from node.findings.valve_calcification import ValveCalcification
from node.results import codes
from node.results.primitives import ImageReference

IMAGE = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3", "1.2", "1")
OTHER = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.4", "1.2", "1")
#: Where the fake detector sees the valve, in pixels of its square.
BOX = (280.0, 200.0, 360.0, 290.0)


def card(calibration: dict[str, float] | None = None, **thresholds: float) -> Card:
    return Card(
        name="x", version="1", network="X", finding="x", sha256="", parameters=1,
        training_data="", licence="", normalisation={}, input={}, metrics={},
        thresholds={name: {"value": value, "policy": ""} for name, value in thresholds.items()},
        intended_use="", statement="", calibration=calibration or {},
    )  # fmt: skip


CARDS = {
    "valve_classifier": card(
        {"calcified_slope": 2.0, "calcified_intercept": 0.5}, calcified=0.3, calcified_surely=0.8
    ),
    "valve_detector": card(valve_confidence=0.5, no_valve_confidence=0.1),
}


class Networks:
    """Sees one valve with a confidence for each frame, and says what it is told to say."""

    def __init__(self, confidence: float | list[float] = 0.9, logit: float = 3.0) -> None:
        self.asked: list[tuple[str, str, dict[str, npt.NDArray[Any]]]] = []
        self._confidence = confidence
        self._logit = logit

    def run(
        self, network: str, task: str, arrays: dict[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        self.asked.append((network, task, arrays))
        rows = len(next(iter(arrays.values())))
        if task == "detect":
            boxes = np.zeros((rows, 5, 5), np.float32)
            boxes[:, 0, :4] = BOX
            boxes[:, 0, 4] = self._confidence
            return {"boxes": boxes, "features": np.zeros((rows, 896), np.float32)}
        if task == "classify":
            logits = self._logit + np.linspace(-0.2, 0.2, rows).astype(np.float32)
            return {"logits": logits, "features": np.zeros((rows, 960), np.float32)}
        return {"heat": np.ones((rows, 224, 224), np.float32)}


def frames(count: int) -> npt.NDArray[np.uint8]:
    fan = np.zeros((240, 320), np.uint8)
    cv2.ellipse(fan, (160, 10), (200, 200), 0, 50, 130, 255, -1)
    noise = np.random.default_rng(1).integers(40, 200, (count, 240, 320)).astype(np.uint8)
    return np.where(fan > 0, noise, 0).astype(np.uint8)


def clip(count: int = 40, **more: Any) -> Clip:
    grey = frames(count)
    times = np.arange(count, dtype=np.float64) * 25.0
    return Clip(grey, np.repeat(grey[..., None], 3, axis=3), times, **more)


def subject(
    source: Clip | Still | None = None, view: str = "PSAX", certain: bool = True
) -> Subject:
    seen = {"view": view, "probability": 0.9 if certain else 0.5, "certain": certain}
    given = source if source is not None else clip(r_wave_times_ms=(100.0, 900.0))
    kind = "clip" if isinstance(given, Clip) else "still"
    return Subject(IMAGE, kind, given, {"echo_view": seen})  # type: ignore[arg-type]


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_it_looks_at_diastole_between_r_peaks() -> None:
    networks = Networks()
    seen = ValveCalcification().analyse(subject(), networks, CARDS)
    assert seen["timing"] == "R peaks"
    phases = [((frame - 1) * 25.0 - 100.0) % 800.0 / 800.0 for frame in seen["frames"]]
    assert len(phases) == 5 and all(0.6 <= phase <= 0.98 for phase in phases)
    (_, _, detected), (_, _, classified) = networks.asked
    assert detected["frames"].shape == (5, 640, 640)
    assert classified["crops"].shape == (5, 224, 224)
    assert seen["probability"] == pytest.approx(sigmoid(2.0 * 3.0 + 0.5))
    assert seen["verdict"] == "present"


def test_without_r_peaks_the_valve_itself_says_when_it_is_shut() -> None:
    source = clip()
    fan = subject(source).sector.box
    # the fake's box in the source: the middle is bright in frames 20 to 39
    x = fan.x0 + 320 * fan.width // 640
    source.frames[20:, 60:120, x - 20 : x + 20] //= 4
    networks = Networks()
    seen = ValveCalcification().analyse(subject(source), networks, CARDS)
    assert seen["timing"] == "valve looks shut"
    assert [task for _, task, _ in networks.asked] == ["detect", "detect", "classify"]
    assert 1 <= len(seen["frames"]) <= 5


def test_a_still_is_taken_as_it_is() -> None:
    grey = frames(1)[0]
    still = Still(grey, np.repeat(grey[..., None], 3, axis=2))
    seen = ValveCalcification().analyse(subject(still), Networks(), CARDS)
    assert (seen["timing"], seen["frame"], seen["frames"]) == ("still image", None, [1])


@pytest.mark.parametrize(
    ("logit", "verdict", "code", "words"),
    [
        (3.0, "present", codes.PRESENT, "Aortic valve calcification > 99 %"),
        (-3.0, "absent", codes.ABSENT, "No aortic valve calcification (< 1 %)"),
        (0.0, "undetermined", codes.UNDETERMINED, "Valve calcification undetermined, 62 %"),
    ],
)
def test_the_answer_has_two_thresholds(logit: float, verdict: str, code: Any, words: str) -> None:
    finding = ValveCalcification()
    seen = finding.analyse(subject(), Networks(logit=logit), CARDS)
    assert seen["verdict"] == verdict
    assert finding.headline(seen) == words and len(words) <= 50
    group = finding.summarise([(IMAGE, seen)])[0]
    assert [q.value for q in group.qualitative] == [codes.VIEW_PSAX_AV, code]
    assert group.site == codes.AORTIC_VALVE
    assert group.measurement.value == pytest.approx(100 * sigmoid(2 * logit + 0.5), abs=0.1)


@pytest.mark.parametrize(
    ("view", "certain", "confidence", "error", "reason"),
    [
        ("A4C", True, 0.9, NotApplicableError, "view A4C: not a parasternal short axis"),
        ("PSAX", False, 0.9, NotAnalysableError, "view uncertain: PSAX 50 %"),
        ("PSAX", True, 0.05, NotApplicableError, "short axis at another level"),
        ("PSAX", True, 0.3, NotAnalysableError, "not found with certainty"),
    ],
)
def test_what_is_no_aortic_valve_gets_no_answer(
    view: str, certain: bool, confidence: float, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        ValveCalcification().analyse(
            subject(view=view, certain=certain), Networks(confidence), CARDS
        )


def test_frames_without_a_sure_box_are_left_out() -> None:
    networks = Networks([0.9, 0.2, 0.8, 0.3, 0.7])
    seen = ValveCalcification().analyse(subject(), networks, CARDS)
    assert len(seen["frames"]) == len(seen["boxes"]) == 3
    assert seen["valve_confidence"] == pytest.approx(0.9)


def test_the_box_lies_where_the_detector_saw_it() -> None:
    one = subject()
    seen = ValveCalcification().analyse(one, Networks(), CARDS)
    fan = one.sector.box
    scale = max(fan.width, fan.height) / 640
    pad = (640 - fan.height / scale) / 2
    left, top = fan.x0 + BOX[0] * scale, fan.y0 + (BOX[1] - pad) * scale
    assert seen["outline"][0] == pytest.approx([left, top], abs=1.0)
    width = seen["outline"][1][0] - seen["outline"][0][0]
    assert width == pytest.approx((BOX[2] - BOX[0]) * scale, abs=1.0)


def test_the_heat_is_inside_the_box_only() -> None:
    finding, one = ValveCalcification(), subject()
    seen = finding.analyse(one, Networks(), CARDS)
    networks = Networks()
    shown = finding.explain(one, seen, networks)
    assert isinstance(shown, Explanation)
    assert networks.asked[0][2]["answer"].tolist() == [1] * 5
    assert (shown.positions + 1).tolist() == seen["frames"]
    window, cells = shown.window.box, shown.maps.shape[-1]
    centres = (np.arange(cells) + 0.5) * window.width / cells
    x, y = np.meshgrid(centres + window.x0, centres + window.y0)
    for heat, (x0, y0, x1, y1) in zip(shown.maps, seen["boxes"], strict=True):
        hot = heat > 0
        assert hot.sum() > 100 and heat.max() <= 1
        slack = window.width / cells
        assert x[hot].min() > x0 - slack and x[hot].max() < x1 + slack
        assert y[hot].min() > y0 - slack and y[hot].max() < y1 + slack
    assert set(shown.outlines) == {frame - 1 for frame in seen["frames"]}


def test_a_study_takes_the_median_of_its_images() -> None:
    finding = ValveCalcification()
    low, middle, high = (
        finding.analyse(subject(), Networks(logit=logit), CARDS) for logit in (-3.0, 1.0, 3.0)
    )
    groups = finding.summarise([(IMAGE, low), (OTHER, middle), (IMAGE, high)])
    assert len(groups) == 4
    assert groups[0].measurement.value == pytest.approx(100 * sigmoid(2.5), abs=0.1)
    assert groups[0].region.image.sop_instance_uid == "1.2.4"
    assert groups[1].qualitative[1].value == codes.ABSENT
