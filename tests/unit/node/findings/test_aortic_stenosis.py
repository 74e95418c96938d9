"""Aortic stenosis: which instances it takes, how they become one answer, and how that is coded."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.cards import Card
from models.inputs import Clip, Still
from models.unusual import FeatureStatistics
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.aortic_stenosis import AorticStenosis, salient_outline
from node.findings.base import Observation, Subject
from node.findings.echo_view import VIEWS
from node.results import codes
from node.results.primitives import Group, ImageReference

IMAGE = ImageReference("1.2.840.10008.5.1.4.1.1.3.1", "1.2.3", "1.2", "1")
THRESHOLDS = {
    "stenosis_probability": 0.4,
    "severity_probability": 0.6,
    "any_phase_stenosis_probability": 0.4,
    "any_phase_severity_probability": 0.6,
    "view_relevance": 0.9,
    "view_entropy": 0.5,
}
ROWS, COLUMNS = 240, 320


def card(**calibration: float) -> Card:
    statistics = FeatureStatistics.fit(np.random.default_rng(0).normal(size=(200, 8)))
    return Card(
        name="rsmas_net", version="1", network="RsmasNet", finding="x", sha256="", parameters=1,
        training_data="", licence="", normalisation={}, input={}, metrics={},
        thresholds={name: {"value": v, "policy": ""} for name, v in THRESHOLDS.items()},
        intended_use="", statement="", calibration=calibration,
        feature_statistics=statistics.as_json(),
    )  # fmt: skip


class Networks:
    """Answers the given probabilities, rising over the frames; hot in one spot of the map."""

    def __init__(self, stenosis: float = 0.9, severity: float = 0.3, spot: int = 56) -> None:
        self.requests: list[tuple[str, dict[str, npt.NDArray[Any]]]] = []
        self._stenosis, self._severity, self._spot = stenosis, severity, spot

    def run(
        self, network: str, task: str, arrays: dict[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        assert network == "rsmas_net"
        self.requests.append((task, arrays))
        rows = len(arrays["frames"])
        if task == "explain":
            heat = np.zeros((rows, 112, 112), np.float32)
            heat[:, self._spot - 6 : self._spot + 6, 50:62] = 1.0
            return {"heat": heat}
        spread = np.linspace(-0.05, 0.05, rows) if rows > 1 else np.zeros(1)
        return {
            "stenosis": np.full(rows, self._stenosis) + spread,
            "severity": np.full(rows, self._severity),
            "features": np.zeros((rows, 8), np.float32),
        }


def fan() -> npt.NDArray[np.uint8]:
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(mask, (160, 10), (200, 200), 0, 50, 130, 255, -1)
    noise = np.random.default_rng(1).integers(40, 200, (ROWS, COLUMNS))
    return np.where(mask > 0, noise, 0).astype(np.uint8)


def clip(frames: int = 40, r_peaks_ms: tuple[float, ...] = ()) -> Clip:
    grey = np.repeat(fan()[None], frames, axis=0)
    times = np.arange(frames, dtype=np.float64) * 20.0
    return Clip(grey, np.repeat(grey[..., None], 3, axis=3), times, r_wave_times_ms=r_peaks_ms)


def seen(view: str = "PLAX", probability: float = 0.98) -> Observation:
    rest = (1 - probability) / 4
    each = {name: probability if name == view else rest for name in VIEWS}
    certain = probability >= 0.6
    return {"view": view, "probability": probability, "certain": certain, "probabilities": each}


def subject(source: Clip | Still, view: Observation | None) -> Subject:
    earlier = {} if view is None else {"echo_view": view}
    return Subject(IMAGE, "still" if isinstance(source, Still) else "clip", source, earlier)


def observe(
    view: str,
    stenosis: float,
    severity: float = 0.3,
    r_peaks_ms: tuple[float, ...] = (),
    **more: float,
) -> Observation:
    networks = Networks(stenosis, severity)
    one = subject(clip(20, r_peaks_ms), seen(view))
    return AorticStenosis().analyse(one, networks, {"rsmas_net": card(**more)})


def presence(group: Group) -> str:
    coded = {q.name.value: q.value for q in group.qualitative}
    return coded[codes.AORTIC_STENOSIS.value].meaning


def test_sixteen_frames_are_averaged_and_one_is_explained() -> None:
    networks = Networks()
    found = AorticStenosis().analyse(subject(clip(40), seen()), networks, {"rsmas_net": card()})
    (asked, first), (explained, second) = networks.requests
    assert (asked, explained) == ("classify", "explain")
    assert first["frames"].shape == (16, 112, 112)
    assert (second["frames"].shape, second["answer"].tolist()) == ((1, 112, 112), [1])
    assert found["probability"] == pytest.approx(0.9, abs=1e-6)
    assert (found["present"], found["severe"], found["shows_valve"]) == (True, False, True)
    assert found["frame"] == 40  # the surest frame is the last one
    assert found["unusual"]["percentile"] < 50
    assert AorticStenosis().headline(found) == "Aortic stenosis 90 %, mild to moderate (PLAX)"


def test_with_r_peaks_only_frames_of_ejection_are_asked() -> None:
    networks = Networks()
    beating = subject(clip(60, (200.0, 1200.0)), seen())
    found = AorticStenosis().analyse(beating, networks, {"rsmas_net": card()})
    # phases .10 to .32: of the beat before the first R peak, and 300 to 520 ms of the first one
    assert found["timing"] == "ejection"
    assert found["frames"] == 12
    assert found["frame"] == 27
    shown = AorticStenosis().explain(beating, found, networks)
    assert shown.positions.tolist() == [float(k) for k in range(15, 27)]


def test_clips_with_r_peaks_speak_before_those_without() -> None:
    timed = observe("PLAX", 0.9, r_peaks_ms=(0.0, 900.0))
    vague = observe("PLAX", 0.1)
    study = AorticStenosis().summarise([(IMAGE, vague), (IMAGE, timed)])[0]
    assert study.measurement.value == pytest.approx(90.0, abs=0.2)
    hidden = observe("A4C", 0.9, r_peaks_ms=(0.0, 900.0))
    study = AorticStenosis().summarise([(IMAGE, hidden), (IMAGE, vague)])[0]
    assert study.measurement.value == pytest.approx(10.0, abs=0.2)


def test_what_was_fitted_for_the_frames_that_were_asked_decides() -> None:
    fitted: dict[str, Any] = {
        "instance_stenosis_slope": 1.0,
        "instance_stenosis_intercept": 2.0,
    }
    assert observe("PLAX", 0.3, **fitted)["probability"] == pytest.approx(0.3)
    timed = observe("PLAX", 0.3, r_peaks_ms=(0.0, 900.0), **fitted)
    assert timed["probability"] == pytest.approx(0.76, abs=0.01)


def test_a_still_has_no_frame_number() -> None:
    grey = fan()
    still = Still(grey, np.repeat(grey[..., None], 3, axis=2))
    found = AorticStenosis().analyse(subject(still, seen()), Networks(), {"rsmas_net": card()})
    assert (found["frame"], found["frames"]) == (None, 1)


@pytest.mark.parametrize(
    ("view", "error", "reason"),
    [
        (None, NotAnalysableError, "not known"),
        (seen("other"), NotApplicableError, "view other"),
        (seen("PLAX", 0.5), NotAnalysableError, "view uncertain: PLAX 50 %"),
    ],
)
def test_instances_it_does_not_take(
    view: Observation | None, error: type[Exception], reason: str
) -> None:
    networks = Networks()
    with pytest.raises(error, match=reason):
        AorticStenosis().analyse(subject(clip(20), view), networks, {"rsmas_net": card()})
    assert networks.requests == []


def test_calibration_and_thresholds_are_the_card_s() -> None:
    raised = observe(
        "PLAX",
        0.3,
        any_phase_instance_stenosis_slope=1.0,
        any_phase_instance_stenosis_intercept=2.0,
    )
    assert raised["probability"] == pytest.approx(0.76, abs=0.01)
    assert raised["present"]
    assert not observe("PLAX", 0.3)["present"]
    assert observe("PLAX", 0.9, severity=0.7)["severe"]


def test_the_study_listens_to_the_views_that_show_the_valve() -> None:
    observations = [
        (ImageReference("1.2", f"1.2.{n}", "1.2", "1"), found)
        for n, found in enumerate(
            [observe("A4C", 0.1), observe("PLAX", 0.9, 0.8), observe("PSAX", 0.7, 0.6)]
        )
    ]
    study, long_axis, short_axis = AorticStenosis().summarise(observations)
    assert study.measurement.value == pytest.approx(80.0, abs=0.2)
    assert (study.finding, study.site) == (codes.AORTIC_STENOSIS, codes.AORTIC_VALVE)
    assert study.region.image.sop_instance_uid == "1.2.1"  # the long axis speaks loudest
    assert [q.value for q in study.qualitative] == [codes.VIEW_PLAX, codes.PRESENT, codes.SEVERE]
    assert presence(long_axis) == presence(short_axis) == "Present"
    assert long_axis.tracking_id == "Instance 2: aortic stenosis"  # the apical view is not told
    assert long_axis.measurement.value == pytest.approx(90.0, abs=0.1)


def test_absence_is_shown_where_it_is_surest() -> None:
    uids = ("1.2.1", "1.2.2")
    images = [ImageReference("1.2", uid, "1.2", "1") for uid in uids]
    pair = [(images[0], observe("PLAX", 0.3)), (images[1], observe("PSAX", 0.06))]
    study = AorticStenosis().summarise(pair)[0]
    assert [q.value for q in study.qualitative] == [codes.VIEW_PSAX, codes.ABSENT]
    assert study.region.image.sop_instance_uid == "1.2.2"
    assert study.comment == "No aortic stenosis (18 %)"


def test_apical_views_alone_leave_it_undetermined() -> None:
    pair = [(IMAGE, observe("A4C", 0.9)), (IMAGE, observe("A2C", 0.7))]
    study = AorticStenosis().summarise(pair)[0]
    assert study.measurement.value == pytest.approx(80.0, abs=0.2)
    assert [q.value for q in study.qualitative][1:] == [codes.UNDETERMINED]
    assert "undetermined" in study.comment


def test_comments_fit_beside_the_region() -> None:
    for found in (observe("PLAX", 0.94, 0.9), observe("PLAX", 0.05), observe("A2C", 0.9)):
        for group in AorticStenosis().summarise([(IMAGE, found)]):
            assert 0 < len(group.comment) <= 50


def test_region_outlines_the_salient_area_in_source_pixels() -> None:
    found = observe("PLAX", 0.9)
    outline = np.array(found["outline"])
    one = subject(clip(20), seen())
    wanted = one.window.to_source(np.array([[50.0, 50.0], [62.0, 62.0]]))
    step = one.window.box.width / 112
    assert np.abs(outline.min(0) - wanted[0]).max() <= step
    assert np.abs(outline.max(0) - wanted[1]).max() <= step


def test_heat_outside_the_sector_is_no_region() -> None:
    one = subject(clip(20), seen())
    corner = np.zeros((112, 112))
    corner[:8, :8] = 1.0
    sector = np.array(salient_outline(corner, one))
    assert np.ptp(sector, axis=0).min() > 100  # the sector's own outline
    assert sector.min() >= 0


def test_explanation_asks_for_the_answer_that_was_given() -> None:
    networks, one = Networks(0.1), subject(clip(40), seen())
    finding = AorticStenosis()
    found = finding.analyse(one, networks, {"rsmas_net": card()})
    shown = finding.explain(one, found, networks)
    assert networks.requests[-1][1]["answer"].tolist() == [0] * 16
    assert shown.maps.shape == (16, 112, 112)
    assert (shown.positions[0], shown.positions[-1]) == (0.0, 39.0)
    assert set(shown.outlines) == {found["frame"] - 1} == {0}
    assert shown.headline.startswith("No aortic stenosis (10 %)")
