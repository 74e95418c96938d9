"""Echo view: which standard plane a clip or still shows (PLAX, PSAX, A4C, A2C, other)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.probability import percent_value, percent_words
from node.facts import Kind
from node.findings.base import Explanation, Networks, Observation, Subject
from node.findings.unusual import unusual_in, unusual_of
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

#: The network's classes in its order, with their codes (CID 12226).
VIEWS: dict[str, Code] = {
    "PLAX": codes.VIEW_PLAX,
    "PSAX": codes.VIEW_PSAX,
    "A4C": codes.VIEW_A4C,
    "A2C": codes.VIEW_A2C,
    "other": codes.VIEW_OTHER,
}
_MOST_FRAMES = 48
_EXPLAINED_FRAMES = 12


class EchoView:
    """Averages the network's probabilities over a clip.

    Single frames of real cines are recognised less reliably than whole clips.
    """

    name = "echo_view"
    title = "Echo view"
    networks: tuple[str, ...] = ("view_net",)
    needs: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset({"clip", "still"})
    series_number = 9010

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Classify up to 48 evenly spaced frames and average.

        Raises
        ------
        NotApplicableError
            No sector, or a rectangle.
        NotAnalysableError
            The sector, or its edges, are too dark.
        """
        frames = subject.reduced
        chosen = np.unique(
            np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).astype(int)
        )
        result = networks.run(self.networks[0], "classify", {"frames": frames[chosen]})
        each = np.asarray(result["probabilities"], dtype=np.float64)
        mean = each.mean(axis=0)
        names = list(VIEWS)
        best = int(mean.argmax())
        view = names[best]
        support = int(chosen[int(each[:, best].argmax())])
        return {
            "view": view,
            "probability": float(mean[best]),
            "certain": bool(mean[best] >= cards[self.networks[0]].threshold("view_probability")),
            "probabilities": {
                name: round(float(p), 4) for name, p in zip(names, mean, strict=True)
            },
            "frame": support + 1 if len(frames) > 1 else None,
            "unusual": unusual_of(cards[self.networks[0]], result["features"]),
            "outline": outline_of(subject.sector.mask),
        }

    def headline(self, observation: Observation) -> str:
        """``A4C 98 %``; a view that is not certain says so."""
        text = f"{observation['view']} {percent_words(observation['probability'])}"
        return text if observation["certain"] else f"{text} (uncertain)"

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation:
        """Grad-CAM of the chosen view at evenly spaced frames."""
        frames = subject.reduced
        chosen = np.unique(
            np.linspace(0, len(frames) - 1, min(len(frames), _EXPLAINED_FRAMES)).astype(int)
        )
        target = np.full(len(chosen), list(VIEWS).index(observation["view"]), dtype=np.int64)
        result = networks.run(
            self.networks[0], "explain", {"frames": frames[chosen], "view": target}
        )
        return Explanation(
            maps=np.asarray(result["heat"], dtype=np.float32) * subject.inside,
            positions=chosen.astype(np.float64),
            window=subject.window,
            outlines={},
            headline=f"View {self.headline(observation)}",
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The study's views on its surest instance, then each instance."""
        standard = [o for o in observations if o[1]["view"] != "other"] or list(observations)
        surest = max(standard, key=lambda o: o[1]["probability"])
        counts = Counter(str(o["view"]) for _, o in observations)
        listed = ", ".join(f"{n} {view}" for view, n in counts.most_common())
        answer = _group(surest, "Study: surest view", f"Views: {listed}")
        each = tuple(
            _group(o, f"Instance {n}: view", self.headline(o[1]))
            for n, o in enumerate(observations, start=1)
        )
        return (answer, *each)


def outline_of(mask: npt.NDArray[np.bool_]) -> list[list[float]]:
    """The sector's outline, simplified to few points, in source pixels."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    simple = cv2.approxPolyDP(largest, 2.0, True)[:, 0].astype(np.float64) + 0.5
    return [[float(x), float(y)] for x, y in simple]


def _group(item: tuple[ImageReference, Observation], tracking_id: str, comment: str) -> Group:
    image, seen = item
    at = ImageReference(
        image.sop_class_uid, image.sop_instance_uid, image.series_instance_uid,
        image.study_instance_uid, seen["frame"],
    )  # fmt: skip
    return Group(
        tracking_id=tracking_id,
        finding=codes.IMAGE_VIEW,
        site=codes.HEART,
        measurement=Measurement(codes.PROBABILITY, percent_value(seen["probability"]), PERCENT),
        region=Region(tuple((x, y) for x, y in seen["outline"]), at),
        qualitative=(QualitativeFinding(codes.IMAGE_VIEW, VIEWS[seen["view"]]),),
        comment=comment,
        unusual=unusual_in(seen),
    )
