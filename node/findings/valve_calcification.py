"""Calcification of the aortic valve, from short-axis images in diastole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.inputs import Clip
from models.probability import Platt, percent_value, percent_words
from models.sector_crop import SectorCrop, crop_sector
from models.valve_crop import crop_valve
from models.valve_phase import diastolic_by_r_peaks, diastolic_by_valve
from node.errors import NotAnalysableError, NotApplicableError
from node.facts import Kind
from node.findings.base import Explanation, Networks, Observation, Subject
from node.findings.unusual import most_unusual, unusual_in, unusual_of
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
    Unusual,
)

_VIEW = "PSAX"
_CLASSIFIER, _DETECTOR = "valve_classifier", "valve_detector"
#: Frames that are looked at; the detector's input is large, and frames of one phase are alike.
_MOST_FRAMES = 5
#: Side of the heatmaps, which cover the square window around the sector.
_MAP_CELLS = 280
_PRESENT, _ABSENT, _UNDETERMINED = "present", "absent", "undetermined"
_VERDICTS: dict[str, Code] = {
    _PRESENT: codes.PRESENT,
    _ABSENT: codes.ABSENT,
    _UNDETERMINED: codes.UNDETERMINED,
}


@dataclass(frozen=True)
class _Located:
    """The valve in some frames.

    Attributes
    ----------
    positions
        0-based frames, increasing.
    boxes
        In source pixels, ``(frames, 4)``.
    scores
        The detector's, ``(frames,)``.
    crops
        For the classifier, uint8 ``(frames, 224, 224)``.
    """

    positions: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    crops: npt.NDArray[np.uint8]


class ValveCalcification:
    """Finds the valve in diastolic frames, classifies its crops, and takes their median.

    Diastole is late in the cycle between R peaks; without them the frames are taken in which the
    valve looks shut. A still is taken as it is.
    """

    name = "valve_calcification"
    title = "Aortic valve calcification"
    networks: tuple[str, ...] = (_CLASSIFIER, _DETECTOR)
    needs: tuple[str, ...] = ("echo_view",)
    kinds: frozenset[Kind] = frozenset({"clip", "still"})
    series_number = 9040

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Locate and classify the valve.

        Raises
        ------
        NotApplicableError
            No short axis, or one at another level: nothing in it looks like the aortic valve.
        NotAnalysableError
            The view is uncertain, or something looks like the valve, but not surely so.
        """
        required_view(subject, (_VIEW,), "not a parasternal short axis")
        located, timing = _locate(subject, networks, cards[_DETECTOR])
        result = networks.run(_CLASSIFIER, "classify", {"crops": located.crops})
        logits = np.asarray(result["logits"], dtype=np.float64)
        rules = _rules(cards[_CLASSIFIER])
        score = float(np.median(logits))
        verdict = _verdict(rules, score)
        support = _support(logits, located.scores, verdict)
        frame = int(located.positions[support])
        return {
            "score": score,
            "probability": _probability(rules, score),
            "verdict": verdict,
            "valve_confidence": round(float(located.scores.max()), 4),
            "timing": timing,
            "frame": frame + 1 if len(subject.frames) > 1 else None,
            "frames": [int(position) + 1 for position in located.positions],
            "boxes": [[round(float(v), 2) for v in box] for box in located.boxes],
            "outline": _corners(located.boxes[support]),
            "unusual": unusual_of(cards[_CLASSIFIER], np.asarray(result["features"])),
            "rules": rules,
        }

    def headline(self, observation: Observation) -> str:
        """``Aortic valve calcification 97 %``; or that there is none, or that it is open."""
        return _said(observation["verdict"], observation["probability"])

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation:
        """Grad-CAM of the classifier's last map, inside the valve's box only."""
        positions = np.array(observation["frames"], dtype=np.int64) - 1
        boxes = np.array(observation["boxes"], dtype=np.float64)
        squares, crop = crop_sector(subject.frames[positions], subject.sector)
        inside = crop.to_square(boxes)
        crops = np.stack([crop_valve(f, b) for f, b in zip(squares, inside, strict=True)])
        answer = np.full(len(crops), int(observation["verdict"] != _ABSENT), np.int64)
        result = networks.run(_CLASSIFIER, "explain", {"crops": crops, "answer": answer})
        heat = np.asarray(result["heat"], dtype=np.float32)
        corners = {
            int(p): np.asarray(_corners(box)) for p, box in zip(positions, boxes, strict=True)
        }
        return Explanation(
            maps=np.stack([_placed(h, b, subject) for h, b in zip(heat, boxes, strict=True)]),
            positions=positions.astype(np.float64),
            window=subject.window,
            outlines=corners,
            headline=self.headline(observation),
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The median over the study's images, on the one nearest to it; then each image."""
        seen = [observation for _, observation in observations]
        rules = seen[0]["rules"]
        score = float(np.median([o["score"] for o in seen]))
        nearest = min(observations, key=lambda item: abs(item[1]["score"] - score))
        answer = _group(
            nearest,
            "Study: aortic valve calcification",
            (_verdict(rules, score), _probability(rules, score)),
            most_unusual(seen),
        )
        each = [
            _group(
                item,
                f"Instance {number}: aortic valve calcification",
                (item[1]["verdict"], item[1]["probability"]),
                unusual_in(item[1]),
            )
            for number, item in enumerate(observations, start=1)
        ]
        return (answer, *each)


def _locate(subject: Subject, networks: Networks, card: Card) -> tuple[_Located, str]:
    """The valve in diastolic frames, and how these were chosen."""
    clip, count = subject.input, len(subject.frames)
    if not isinstance(clip, Clip):
        return _sure(subject, networks, card, np.arange(count)), "still image"
    diastolic = diastolic_by_r_peaks(
        clip.frame_times_ms, subject.r_peak_times_ms, clip.heart_rate_bpm
    )
    if len(diastolic):
        return _sure(subject, networks, card, _few(diastolic)), "R peaks"
    first = _sure(subject, networks, card, _few(np.arange(count)))
    box = first.boxes[int(first.scores.argmax())]
    shut = _few(diastolic_by_valve(subject.frames, box))
    return _sure(subject, networks, card, shut), "valve looks shut"


def _sure(
    subject: Subject, networks: Networks, card: Card, positions: npt.NDArray[np.int64]
) -> _Located:
    """Those of the frames in which the detector is sure of its best box."""
    squares, crop = crop_sector(subject.frames[positions], subject.sector)
    result = networks.run(_DETECTOR, "detect", {"frames": squares})
    best = np.asarray(result["boxes"], dtype=np.float64)[:, 0]
    score = float(best[:, 4].max())
    if score < card.threshold("no_valve_confidence"):
        raise NotApplicableError(
            f"a short axis at another level: nothing in it looks like the aortic valve "
            f"({percent_words(score)})"
        )
    sure = best[:, 4] >= card.threshold("valve_confidence")
    if not sure.any():
        raise NotAnalysableError(
            f"the aortic valve is not found with certainty ({percent_words(score)})"
        )
    return _Located(
        positions[sure],
        _inside(crop, best[sure, :4], subject),
        best[sure, 4],
        np.stack([crop_valve(f, b) for f, b in zip(squares[sure], best[sure, :4], strict=True)]),
    )


def _inside(
    crop: SectorCrop, boxes: npt.NDArray[np.float64], subject: Subject
) -> npt.NDArray[np.float64]:
    """Boxes of the square in source pixels, kept inside the image."""
    rows, columns = subject.frames.shape[1:]
    edges = np.array([columns, rows, columns, rows], np.float64)
    return np.clip(crop.to_source(boxes), 0.0, edges)


def _few(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Evenly chosen frames."""
    chosen = np.linspace(0, len(positions) - 1, min(len(positions), _MOST_FRAMES))
    return positions[np.unique(chosen.astype(np.int64))]


def _rules(card: Card) -> dict[str, float]:
    """What turns logits into an answer: the report is written without the card."""
    return {
        "from": card.threshold("calcified"),
        "surely_from": card.threshold("calcified_surely"),
        "slope": card.calibration.get("calcified_slope", 1.0),
        "intercept": card.calibration.get("calcified_intercept", 0.0),
    }


def _probability(rules: Mapping[str, float], score: float) -> float:
    return float(Platt(rules["slope"], rules["intercept"])(score))


def _verdict(rules: Mapping[str, float], score: float) -> str:
    """Absent below the sensitive threshold, present from the specific one on."""
    probability = _probability(rules, score)
    if probability < rules["from"]:
        return _ABSENT
    return _PRESENT if probability >= rules["surely_from"] else _UNDETERMINED


def _support(logits: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], verdict: str) -> int:
    """The frame that shows the answer: the surest of it, or of the valve when it is open."""
    if verdict == _UNDETERMINED:
        return int(scores.argmax())
    return int(logits.argmax() if verdict == _PRESENT else logits.argmin())


def _corners(box: npt.NDArray[np.float64]) -> list[list[float]]:
    x0, y0, x1, y1 = (round(float(v), 2) for v in box)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _placed(
    heat: npt.NDArray[np.float32], box: npt.NDArray[np.float64], subject: Subject
) -> npt.NDArray[np.float32]:
    """A crop's heat where its box lies in the window, 0 elsewhere."""
    window = subject.window.box
    corner = np.array([window.x0, window.y0] * 2, np.float64)
    cells = np.round((box - corner) * (_MAP_CELLS / window.width)).astype(int)
    x0, y0, x1, y1 = (int(v) for v in np.clip(cells, 0, _MAP_CELLS))
    whole = np.zeros((_MAP_CELLS, _MAP_CELLS), np.float32)
    if x1 > x0 and y1 > y0:
        small = cv2.resize(heat, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        whole[y0:y1, x0:x1] = np.clip(small, 0.0, 1.0)
    return whole


def _said(verdict: str, probability: float) -> str:
    """The answer in at most 50 characters."""
    percent = percent_words(probability)
    if verdict == _ABSENT:
        return f"No aortic valve calcification ({percent})"
    if verdict == _UNDETERMINED:
        return f"Valve calcification undetermined, {percent}"
    return f"Aortic valve calcification {percent}"


def _group(
    item: tuple[ImageReference, Observation],
    tracking_id: str,
    answer: tuple[str, float],
    unusual: Unusual | None,
) -> Group:
    image, seen = item
    verdict, probability = answer
    return Group(
        tracking_id=tracking_id,
        finding=codes.CALCIFIED_HEART_VALVE,
        site=codes.AORTIC_VALVE,
        measurement=Measurement(codes.PROBABILITY, percent_value(probability), PERCENT),
        region=Region(
            tuple((x, y) for x, y in seen["outline"]), replace(image, frame=seen["frame"])
        ),
        qualitative=(
            QualitativeFinding(codes.IMAGE_VIEW, codes.VIEW_PSAX_AV),
            QualitativeFinding(codes.CALCIFIED_HEART_VALVE, _VERDICTS[verdict]),
        ),
        comment=_said(verdict, probability),
        unusual=unusual,
    )
