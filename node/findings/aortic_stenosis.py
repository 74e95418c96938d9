"""Aortic stenosis and its severity by RSMAS-Net, from the standard B-mode views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.inputs import Clip
from models.preprocess import SIZE
from models.probability import Platt, percent_value, percent_words
from models.valve_phase import ejecting_by_r_peaks
from models.view_priority import ViewPriority
from node.facts import Kind
from node.findings.base import Arrays, Explanation, Networks, Observation, Subject
from node.findings.echo_view import VIEWS, outline_of
from node.findings.unusual import unusual_in, unusual_of
from node.findings.view import required_view
from node.results import codes
from node.results.primitives import (
    PERCENT,
    Code,
    Group,
    ImageReference,
    Measurement,
    QualitativeFinding,
    Region,
)

_STANDARD = ("PLAX", "PSAX", "A4C", "A2C")
_MOST_FRAMES = 16
#: What is at least this hot, relative to the hottest pixel, is the salient area.
_SALIENT = 0.5
_LEAST_AREA = 12.0  # pixels of the network's frame
_CALIBRATIONS = ("study_stenosis", "study_severity", "instance_stenosis", "instance_severity")
_THRESHOLDS = ("stenosis_probability", "severity_probability")
_VIEW_RULE = ("view_relevance", "view_entropy")
#: Which frames were asked, and how the card calls what was fitted for them. A shut valve says
#: little of its stenosis; without R peaks nobody knows which frames show it open.
_EJECTION, _ANY_PHASE = "ejection", "any phase"
_FITTED_FOR = {_EJECTION: "", _ANY_PHASE: "any_phase_"}


class AorticStenosis:
    """Asks every standard view, and lets those that show the valve answer for the study.

    An apical view alone says little of the valve: it counts only where no parasternal image
    passes the rule, and then presence stays undetermined. Clips with R peaks are asked while the
    valve is open, and speak before those without.
    """

    name = "aortic_stenosis"
    title = "Aortic stenosis"
    networks: tuple[str, ...] = ("rsmas_net",)
    needs: tuple[str, ...] = ("echo_view",)
    kinds: frozenset[Kind] = frozenset({"clip", "still"})
    series_number = 9030

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Classify up to 16 frames of ejection, else of the whole clip, and average.

        Raises
        ------
        NotApplicableError
            The view is not one of the four standard ones.
        NotAnalysableError
            The view is uncertain.
        """
        seen = required_view(subject, _STANDARD, f"not one of {', '.join(_STANDARD)}")
        card = cards[self.networks[0]]
        frames = subject.reduced
        chosen, timing = _frames_to_ask(subject)
        result = networks.run(self.networks[0], "classify", {"frames": frames[chosen]})
        stenosis = np.asarray(result["stenosis"], dtype=np.float64)
        severity = np.asarray(result["severity"], dtype=np.float64)
        rule, rules = _view_rule(card), _rules(card, timing)
        probability = _platt(rules, "instance_stenosis").of_probability(float(stenosis.mean()))
        present = probability >= rules["stenosis_probability"]
        support = int(chosen[int(stenosis.argmax() if present else stenosis.argmin())])
        shown: Arrays = {"frames": frames[[support]], "answer": np.full(1, int(present), np.int64)}
        heat = networks.run(self.networks[0], "explain", shown)["heat"][0]
        severe = _platt(rules, "instance_severity").of_probability(float(severity.mean()))
        views = [float(seen["probabilities"][name]) for name in VIEWS]
        return {
            "view": seen["view"],
            "views": views,
            "stenosis": float(stenosis.mean()),
            "severity": float(severity.mean()),
            "probability": probability,
            "severe_probability": severe,
            "present": bool(present),
            "severe": bool(severe >= rules["severity_probability"]),
            "shows_valve": bool(ViewPriority(**rule).passes(np.array([views]))[0]),
            "timing": timing,
            "frames": len(chosen),
            "frame": support + 1 if len(frames) > 1 else None,
            "outline": salient_outline(heat, subject),
            "unusual": unusual_of(card, np.asarray(result["features"])),
            "rules": rules,
            "view_rule": rule,
        }

    def headline(self, observation: Observation) -> str:
        """``Aortic stenosis 97 %, severe 80 % (PLAX)``."""
        return f"{_said(observation)} ({observation['view']})"

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation:
        """Grad-CAM++ of the last stage for the instance's answer, at the frames it looked at."""
        frames = subject.reduced
        chosen, _ = _frames_to_ask(subject)
        answer = np.full(len(chosen), int(observation["present"]), np.int64)
        asked: Arrays = {"frames": frames[chosen], "answer": answer}
        result = networks.run(self.networks[0], "explain", asked)
        frame = (observation["frame"] or 1) - 1
        return Explanation(
            # the last map has 4 x 4 cells, which reach far beyond the sector's edge
            maps=np.asarray(result["heat"], dtype=np.float32) * subject.inside,
            positions=chosen.astype(np.float64),
            window=subject.window,
            outlines={frame: np.asarray(observation["outline"], dtype=np.float64)},
            headline=self.headline(observation),
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The study's answer by view priority, on the image that speaks loudest; then each."""
        asked = _best_timed(observations)
        rules = asked[0][1]["rules"]
        views = np.array([o["views"] for _, o in asked])
        said = np.array([[o["stenosis"], o["severity"]] for _, o in asked])
        study = ViewPriority(**asked[0][1]["view_rule"]).combine(views, said)
        probability = _platt(rules, "study_stenosis").of_probability(float(study.answers[0]))
        severe = _platt(rules, "study_severity").of_probability(float(study.answers[1]))
        answer = {
            "probability": probability,
            "severe_probability": severe,
            "present": probability >= rules["stenosis_probability"],
            "severe": severe >= rules["severity_probability"],
            "shows_valve": not study.fallback,
        }
        agreement = said[:, 0] if answer["present"] else 1.0 - said[:, 0]
        loudest = int(np.argmax(study.weights * agreement))
        groups = [_group(asked[loudest], answer, "Study: aortic stenosis")]
        # The others' percentages, of views that hardly know, would mislead beside that answer.
        shows = any(seen["shows_valve"] for _, seen in observations)
        for number, item in enumerate(observations, start=1):
            if item[1]["shows_valve"] or not shows:
                groups.append(_group(item, item[1], f"Instance {number}: aortic stenosis"))
        return tuple(groups)


def salient_outline(heat: npt.NDArray[np.floating[Any]], subject: Subject) -> list[list[float]]:
    """Outline of the hottest connected area of a heatmap, in source pixels.

    Parameters
    ----------
    heat
        0 to 1 on the network's frame, ``(112, 112)``; what lies outside the sector does not count.
    subject
        Whose frame it is.

    Returns
    -------
    Points (column, row), inside the image. The sector's outline where the heat has no such area.
    """
    inside = _reduced_mask(subject)
    kept = np.where(inside, heat, 0.0)
    hot = (kept >= _SALIENT * float(kept.max())) & inside & (kept > 0)
    contours, _ = cv2.findContours(hot.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours or cv2.contourArea(max(contours, key=cv2.contourArea)) < _LEAST_AREA:
        return outline_of(subject.sector.mask)
    largest = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 0.8, True)
    points = subject.window.to_source(largest[:, 0].astype(np.float64) + 0.5)
    rows, columns = subject.frames.shape[1:]
    kept_points = np.clip(points, [0.5, 0.5], [columns - 0.5, rows - 0.5])
    return [[round(float(x), 2), round(float(y), 2)] for x, y in kept_points]


def _reduced_mask(subject: Subject) -> npt.NDArray[np.bool_]:
    """Which pixels of the network's frame lie in the sector: sampled at their centres."""
    rows, columns = subject.sector.mask.shape
    centre = np.arange(SIZE) + 0.5
    grid = np.stack(np.meshgrid(centre, centre), axis=-1)
    at = np.floor(subject.window.to_source(grid)).astype(int)
    x, y = at[..., 0], at[..., 1]
    valid = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    mask = subject.sector.mask[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
    return np.asarray(valid & mask)


def _frames_to_ask(subject: Subject) -> tuple[npt.NDArray[np.int64], str]:
    """Positions of up to 16 frames with the valve open where the R peaks tell, else of any."""
    clip, every = subject.input, np.arange(len(subject.reduced))
    if isinstance(clip, Clip):
        ejecting = ejecting_by_r_peaks(
            clip.frame_times_ms, clip.r_wave_times_ms, clip.heart_rate_bpm
        )
        if len(ejecting):
            return _evenly(ejecting), _EJECTION
    return _evenly(every), _ANY_PHASE


def _evenly(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    chosen = np.linspace(0, len(positions) - 1, min(len(positions), _MOST_FRAMES))
    return positions[np.unique(chosen.astype(np.int64))]


def _best_timed(
    observations: Sequence[tuple[ImageReference, Observation]],
) -> Sequence[tuple[ImageReference, Observation]]:
    """Those read while the valve was open, if one of them shows it; else those of any phase."""
    timed = [item for item in observations if item[1]["timing"] == _EJECTION]
    others = [item for item in observations if item[1]["timing"] != _EJECTION]
    if any(o["shows_valve"] for _, o in timed) or not others:
        return timed
    if any(o["shows_valve"] for _, o in others) or not timed:
        return others
    return timed


def _view_rule(card: Card) -> dict[str, float]:
    relevance, entropy = (card.threshold(name) for name in _VIEW_RULE)
    return {"least_relevance": relevance, "most_entropy": entropy}


def _rules(card: Card, timing: str) -> dict[str, float]:
    """Take from the card what turns outputs into answers: the report is written without it."""
    prefix = _FITTED_FOR[timing]
    if f"{prefix}{_THRESHOLDS[0]}" not in card.thresholds:
        prefix = ""  # weights that were scored on stills alone have one set for both
    rules = {name: card.threshold(f"{prefix}{name}") for name in _THRESHOLDS}
    for name in _CALIBRATIONS:
        rules[f"{name}_slope"] = card.calibration.get(f"{prefix}{name}_slope", 1.0)
        rules[f"{name}_intercept"] = card.calibration.get(f"{prefix}{name}_intercept", 0.0)
    return rules


def _platt(rules: Mapping[str, float], name: str) -> Platt:
    return Platt(rules[f"{name}_slope"], rules[f"{name}_intercept"])


def _said(answer: Mapping[str, Any]) -> str:
    """The answer in at most 50 characters."""
    if not answer["shows_valve"]:
        # A percentage of a view that hardly knows would be read as one of the valve.
        return "Aortic stenosis undetermined"
    percent = percent_words(answer["probability"])
    if not answer["present"]:
        return f"No aortic stenosis ({percent})"
    kind = "severe" if answer["severe"] else "mild to moderate"
    return f"Aortic stenosis {percent}, {kind}"


def _qualitative(answer: Mapping[str, Any]) -> tuple[QualitativeFinding, ...]:
    """Presence, and severity where there is a stenosis."""
    if not answer["shows_valve"]:
        return (QualitativeFinding(codes.AORTIC_STENOSIS, codes.UNDETERMINED),)
    presence: Code = codes.PRESENT if answer["present"] else codes.ABSENT
    found = (QualitativeFinding(codes.AORTIC_STENOSIS, presence),)
    if not answer["present"]:
        return found
    grade = codes.SEVERE if answer["severe"] else codes.MILD_TO_MODERATE
    return (*found, QualitativeFinding(codes.SEVERITY, grade))


def _group(
    item: tuple[ImageReference, Observation], answer: Mapping[str, Any], tracking_id: str
) -> Group:
    image, seen = item
    return Group(
        tracking_id=tracking_id,
        finding=codes.AORTIC_STENOSIS,
        site=codes.AORTIC_VALVE,
        measurement=Measurement(codes.PROBABILITY, percent_value(answer["probability"]), PERCENT),
        region=Region(
            tuple((x, y) for x, y in seen["outline"]), replace(image, frame=seen["frame"])
        ),
        qualitative=(
            QualitativeFinding(codes.IMAGE_VIEW, VIEWS[seen["view"]]),
            *_qualitative(answer),
        ),
        comment=_said(answer),
        unusual=unusual_in(seen),
    )
