"""Screening for aortic stenosis from an ECG and a chest X-ray of one patient, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.cards import Card
from models.ecg_input import prepare
from models.ecg_quality import ecg_problem
from models.inputs import Radiograph, Recording
from models.probability import Platt, percent_value, percent_words
from models.radiograph import film_of
from models.radiograph_quality import radiograph_problem
from node.errors import NotAnalysableError, NotApplicableError
from node.facts import Kind
from node.findings.base import Drawing, Explanation, Networks, Observation, Subject
from node.findings.ecg_heat import PAGE_SAMPLES, merged, salient_wave
from node.findings.ecg_picture import EcgPicture, draw_ecg
from node.findings.salient import salient_area
from node.findings.unusual import unusual_in, unusual_of
from node.pairing import Role, distance_words
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

_ECG, _XRAY = "ecg_net", "cxr_net"
#: By what an answer is made of: the card that calibrates it, and how that card calls it.
_ANSWERS = {"pair": (_ECG, "stenosis"), "ecg": (_ECG, "ecg"), "xray": (_XRAY, "xray")}
#: How the gate begins its reason for a film that asks nothing of this finding.
_OTHER_PART = "the body part is"
_ALONE = {"ecg": "ECG ALONE, no X-ray", "xray": "X-ray ALONE, no ECG"}
_MADE_OF = {"pair": "ECG and X-ray", **_ALONE}


class StenosisScreening:
    """Adds the scores of both modalities, as the cooperative learning fits them.

    Neither score means anything by itself before it is calibrated: their sum is what was trained.
    The answer stands on the X-ray, with the ECG as further evidence.
    """

    name = "stenosis_screening"
    title = "Aortic stenosis screening, ECG and X-ray"
    networks: tuple[str, ...] = (_ECG, _XRAY)
    needs: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset({"waveform", "radiograph"})
    roles: Mapping[Kind, Role] = {"waveform": Role.ECG, "radiograph": Role.XRAY}
    series_number = 9060

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Score one of the two.

        Raises
        ------
        NotApplicableError
            The radiograph is not one of the chest.
        NotAnalysableError
            Its quality or its projection does not allow it.
        """
        if isinstance(subject.input, Recording):
            observation = _read_ecg(subject.input, networks, cards[_ECG])
        elif isinstance(subject.input, Radiograph):
            observation = _read_film(subject.input, networks, cards[_XRAY])
        else:
            raise NotApplicableError("neither an ECG nor a radiograph")
        return {
            **observation,
            "rules": {of: _rule(cards[card], name) for of, (card, name) in _ANSWERS.items()},
            "weights": [cards[name].sha256 for name in self.networks],
        }

    def combine(
        self, xray: Observation, ecg: Observation, instance: ImageReference, distance_days: float
    ) -> Observation:
        """Add both scores.

        Raises
        ------
        NotAnalysableError
            The two were read with different weights, which were not trained together.
        """
        if xray["weights"] != ecg["weights"]:
            raise NotAnalysableError("ECG and X-ray were read with different weights")
        said = [each for each in (xray["unusual"], ecg["unusual"]) if each is not None]
        return {
            **xray,
            "of": "pair",
            "total": xray["score"] + ecg["score"],
            "unusual": max(said, key=_strangeness, default=None),
            "partner": {
                "sop_instance_uid": instance.sop_instance_uid,
                "score": ecg["score"],
                "windows": ecg["windows"],
                "distance_days": distance_days,
            },
        }

    def headline(self, observation: Observation) -> str:
        """``AS 63 %: X-ray with an ECG 2.1 days before``, or the score of a half.

        A half speaks for itself only where it was marked as one that is reported alone.
        """
        if observation["of"] == "pair":
            words = distance_words(_distance(observation), Role.ECG)
            return f"{_percent(observation)}: X-ray with {words}"
        if observation.get("alone"):
            return f"{_percent(observation)}: {_ALONE[observation['of']]}"
        half = "ECG" if observation["of"] == "ecg" else "X-ray"
        score = round(observation["score"], 2) + 0.0  # no -0.00
        return f"{half} part of stenosis screening, score {score:+.2f}"

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation | Drawing:
        """Grad-CAM over the film, or the two-phase map over the twelve leads."""
        if isinstance(subject.input, Recording):
            ecg = prepare(subject.input)
            seen = networks.run(_ECG, "explain", {"windows": ecg.windows})
            picture = EcgPicture(
                signal=ecg.signal,
                heat=merged(seen["heat"], ecg.starts, ecg.signal.shape[1]),
                lead_weights=np.asarray(seen["lead_weights"], dtype=np.float64).mean(axis=0),
                title=self.headline(observation),
            )
            method = codes.GRADIENT_CLASS_ACTIVATION
            return Drawing(draw_ecg(picture), self.headline(observation), method)
        if not isinstance(subject.input, Radiograph):
            raise NotApplicableError("neither an ECG nor a radiograph")
        film = film_of(subject.input.pixels)
        heat = networks.run(_XRAY, "explain", {"films": film.grey[None]})["heat"]
        return Explanation(
            maps=np.asarray(heat, dtype=np.float32),
            positions=np.zeros(1),
            window=film.window,
            outlines={0: np.asarray(observation["outline"], dtype=np.float64)},
            headline=self.headline(observation),
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The study's answer: the mean over its pairs, on the X-ray whose ECG is nearest.

        Only a study without any pair is answered from one modality, and says so.
        """
        for of in ("pair", "xray", "ecg"):
            asked = [each for each in observations if each[1]["of"] == of]
            if asked:
                break
        nearest = min(asked, key=lambda each: abs(_distance(each[1])))
        mean = float(np.mean([each[1]["total"] for each in asked]))
        answer = _group(nearest, {**nearest[1], "total": mean}, "Study: stenosis screening")
        if len(observations) == 1:
            return (answer,)
        each = tuple(
            _group(item, item[1], f"Instance {number}: stenosis screening")
            for number, item in enumerate(observations, start=1)
        )
        return (answer, *each)


def _read_ecg(recording: Recording, networks: Networks, card: Card) -> Observation:
    problem = ecg_problem(recording)
    if problem is not None:
        raise NotAnalysableError(f"the ECG was not read: {problem}")
    ecg = prepare(recording)
    result = networks.run(_ECG, "predict", {"windows": ecg.windows})
    scores = np.asarray(result["score"], dtype=np.float64)
    features = np.asarray(result["features"], dtype=np.float64).mean(axis=0, keepdims=True)
    typical = int(np.abs(scores - scores.mean()).argmin())
    heat = networks.run(_ECG, "explain", {"windows": ecg.windows[[typical]]})["heat"][0]
    page, wave = salient_wave(heat, ecg.starts[typical])
    return {
        "of": "ecg",
        "score": float(scores.mean()),
        "total": float(scores.mean()),
        "spread": float(scores.std()),
        "windows": len(scores),
        # on the picture that is drawn of it: an ECG has no pixels of its own
        "frame": page + 1 if ecg.signal.shape[1] > PAGE_SAMPLES else None,
        "outline": [
            [wave.x0, wave.y0], [wave.x1, wave.y0], [wave.x1, wave.y1], [wave.x0, wave.y1],
        ],
        "unusual": unusual_of(card, features),
    }  # fmt: skip


def _read_film(radiograph: Radiograph, networks: Networks, card: Card) -> Observation:
    problem = radiograph_problem(radiograph)
    if problem is not None and problem.startswith(_OTHER_PART):
        raise NotApplicableError(problem)
    if problem is not None:
        raise NotAnalysableError(problem)
    film = film_of(radiograph.pixels)
    films = {"films": film.grey[None]}
    result = networks.run(_XRAY, "predict", films)
    heat = networks.run(_XRAY, "explain", films)["heat"][0]
    score = float(np.asarray(result["score"], dtype=np.float64)[0])
    rows, columns = radiograph.pixels.shape
    return {
        "of": "xray",
        "score": score,
        "total": score,
        "outline": salient_area(heat, film.window, rows, columns),
        "unusual": unusual_of(card, np.asarray(result["features"])),
    }


def _rule(card: Card, name: str) -> dict[str, float | None]:
    """Take from a card what turns a score into an answer: the report is written without it."""
    return {
        "slope": card.calibration.get(f"{name}_slope", 1.0),
        "intercept": card.calibration.get(f"{name}_intercept", 0.0),
        "threshold": card.threshold(f"{name}_probability"),
    }


def _probability(observation: Mapping[str, Any]) -> float:
    rule = observation["rules"][observation["of"]]
    return float(Platt(rule["slope"], rule["intercept"])(observation["total"]))


def _percent(observation: Mapping[str, Any]) -> str:
    return f"AS {percent_words(_probability(observation))}"


def _distance(observation: Mapping[str, Any]) -> float:
    return float(observation.get("partner", {}).get("distance_days", 0.0))


def _strangeness(unusual: Mapping[str, Any]) -> tuple[bool, float]:
    return unusual["outside"], unusual["percentile"]


def _presence(observation: Mapping[str, Any]) -> Code:
    """Present, absent, or undetermined of what lies outside the training distribution."""
    unusual = unusual_in(observation)
    if unusual is not None and unusual.outside:
        return codes.UNDETERMINED
    threshold = observation["rules"][observation["of"]]["threshold"]
    return codes.PRESENT if _probability(observation) >= threshold else codes.ABSENT


def _group(
    item: tuple[ImageReference, Observation], answer: Mapping[str, Any], tracking_id: str
) -> Group:
    image, seen = item
    return Group(
        tracking_id=f"{tracking_id}, {_MADE_OF[answer['of']]}",
        finding=codes.AORTIC_STENOSIS,
        site=codes.AORTIC_VALVE,
        measurement=Measurement(codes.PROBABILITY, percent_value(_probability(answer)), PERCENT),
        region=Region(
            tuple((x, y) for x, y in seen["outline"]), replace(image, frame=seen.get("frame"))
        ),
        qualitative=(QualitativeFinding(codes.AORTIC_STENOSIS, _presence(answer)),),
        comment=f"{_percent(answer)}: {_short(answer)}",
        unusual=unusual_in(seen),
    )


def _short(answer: Mapping[str, Any]) -> str:
    """Which modalities spoke, in the 20 characters that viewers have room for."""
    if answer["of"] == "pair":
        return f"X-ray + ECG {_distance(answer):+.1f} d"
    return _ALONE[answer["of"]]
