"""Left ventricular ejection fraction by Echo-E3Net, from apical clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.heart_phase import end_diastole, end_systole
from models.heatmap import merge_windows, normalise, window_indices
from models.inputs import Clip
from models.volumes import disc_sum_ejection_fraction
from node.errors import NotAnalysableError, NotApplicableError
from node.facts import Kind
from node.findings.base import Explanation, Networks, Observation, Subject
from node.findings.echo_view import VIEWS
from node.findings.unusual import most_unusual, unusual_in, unusual_of
from node.findings.ventricle import ECHO_E3NET, stacked, ventricle_of
from node.findings.view import required_view
from node.results import codes
from node.results.primitives import (
    PERCENT,
    Group,
    ImageReference,
    Measurement,
    QualitativeFinding,
    Region,
)

_APICAL = ("A4C", "A2C")
_LEAST_BEAT_MS = 600.0
_LENGTH, _PERIOD = 32, 2


class EjectionFraction:
    """Averages all 32-frame clips (period 2) of every apical cine of the study."""

    name = "ejection_fraction"
    title = "Left ventricular ejection fraction"
    networks: tuple[str, ...] = (ECHO_E3NET,)
    needs: tuple[str, ...] = ("echo_view",)
    kinds: frozenset[Kind] = frozenset({"clip"})
    series_number = 9020

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Predict the ejection fraction and the borders.

        Raises
        ------
        NotApplicableError
            The view is not apical.
        NotAnalysableError
            The view is uncertain, the clip is too short, or the network's two
            answers (its own, and the disc sum of its borders) contradict each other.
        """
        clip = subject.input
        if not isinstance(clip, Clip):
            raise NotApplicableError("an ejection fraction needs a moving image")
        seen = required_view(subject, _APICAL, "not apical")
        _require_heart_beat(clip)
        result = ventricle_of(subject, networks)
        frames = subject.reduced
        fractions = np.asarray(result["ef"], dtype=np.float64)
        borders = np.asarray(result["borders"], dtype=np.float64).mean(axis=0)
        disc_sum = disc_sum_ejection_fraction(borders)
        percent = 100 * float(fractions.mean())
        limit = cards[self.networks[0]].threshold("border_disagreement_percent")
        if abs(percent - 100 * disc_sum) > limit:
            raise NotAnalysableError(
                f"the network's answer ({percent:.0f} %) and that of its borders "
                f"({100 * disc_sum:.0f} %) differ by more than {limit:.0f} points"
            )
        diastole = end_diastole(frames, borders[0], borders[1])
        systole = end_systole(frames, borders[0], borders[1])
        return {
            "percent": percent,
            "spread_percent": 100 * float(fractions.std()),
            "disc_sum_percent": 100 * disc_sum,
            "clips": len(fractions),
            "unusual": unusual_of(cards[self.networks[0]], result["features"]),
            "view": seen["view"],
            "view_probability": seen["probability"],
            "frame": diastole + 1,
            "systolic_frame": systole + 1,
            "ed_outline": _outline(borders[0], subject),
            "es_outline": _outline(borders[1], subject),
        }

    def headline(self, observation: Observation) -> str:
        """``LVEF 56 % (A4C)``."""
        return f"LVEF {observation['percent']:.0f} % ({observation['view']})"

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation:
        """Gradient times activation, over clips that together cover the cine."""
        frames = subject.reduced
        starts = _covering_starts(len(frames))
        result = networks.run(self.networks[0], "explain", stacked(frames, starts))
        indices = np.stack(
            [
                window_indices(start, _LENGTH, _PERIOD, len(frames[start::_PERIOD]))
                for start in starts
            ]
        )
        maps = normalise(merge_windows(result["heat"], indices, len(frames)))
        diastolic, systolic = observation["frame"] - 1, observation["systolic_frame"] - 1
        outlines = {diastolic: np.asarray(observation["ed_outline"], dtype=np.float64)}
        outlines.setdefault(systolic, np.asarray(observation["es_outline"], dtype=np.float64))
        return Explanation(
            maps=maps,
            positions=np.arange(len(frames), dtype=np.float64),
            window=subject.window,
            outlines=outlines,
            headline=self.headline(observation),
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The mean over all clips, on the clip with the surest view; then each clip."""
        percent = float(np.mean([o["percent"] for _, o in observations]))
        surest = max(observations, key=lambda o: o[1]["view_probability"])
        count = len(observations)
        clips = "1 clip" if count == 1 else f"{count} clips"
        answer = replace(
            _group(surest, percent, "Study: LVEF", f"LVEF {percent:.0f} % of {clips}"),
            unusual=most_unusual(o for _, o in observations),
        )
        each = tuple(
            _group(
                o,
                o[1]["percent"],
                f"Clip {n}: LVEF",
                f"LVEF {o[1]['percent']:.0f} % {o[1]['view']}",
            )
            for n, o in enumerate(observations, start=1)
        )
        return (answer, *each)


def _require_heart_beat(clip: Clip) -> None:
    """Refuse a clip in which no whole beat can be seen."""
    beat_ms = 60_000.0 / clip.heart_rate_bpm if clip.heart_rate_bpm else _LEAST_BEAT_MS
    if len(clip.r_wave_times_ms) >= 2:
        beat_ms = float(np.median(np.diff(clip.r_wave_times_ms)))
    if clip.duration_ms < beat_ms:
        raise NotAnalysableError(
            f"the clip lasts {clip.duration_ms / 1000:.2f} s, less than a heart beat "
            f"of {beat_ms / 1000:.2f} s"
        )


def _covering_starts(frames: int) -> list[int]:
    """Few starts whose clips together touch every frame: pairs of an even and an odd one."""
    span = (_LENGTH - 1) * _PERIOD + 1
    last = max(frames - span - 1, 0)
    pairs = [*range(0, last, span + 1), last]
    return sorted(
        {start + offset for start in pairs for offset in (0, 1) if start + offset < frames}
    )


def _outline(border: npt.NDArray[np.float64], subject: Subject) -> list[list[float]]:
    """Chords ``(20, 4)`` as fractions to a closed outline in source pixels: down left, up right."""
    ring = np.concatenate([border[:, :2], border[::-1, 2:]]) * subject.cells
    inside = subject.window.to_source(ring)
    rows, columns = subject.frames.shape[1:]
    kept = np.clip(inside, [0.5, 0.5], [columns - 0.5, rows - 0.5])
    return [[round(float(x), 2), round(float(y), 2)] for x, y in kept]


def _group(
    item: tuple[ImageReference, Observation], percent: float, tracking_id: str, comment: str
) -> Group:
    image, seen = item
    at = ImageReference(
        image.sop_class_uid, image.sop_instance_uid, image.series_instance_uid,
        image.study_instance_uid, seen["frame"],
    )  # fmt: skip
    return Group(
        tracking_id=tracking_id,
        finding=codes.EJECTION_FRACTION,
        site=codes.LEFT_VENTRICLE,
        measurement=Measurement(codes.LVEF, round(percent, 1), PERCENT),
        region=Region(tuple((x, y) for x, y in seen["ed_outline"]), at),
        qualitative=(QualitativeFinding(codes.IMAGE_VIEW, VIEWS[seen["view"]]),),
        comment=comment,
        unusual=unusual_in(seen),
    )
