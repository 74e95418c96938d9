"""Septal flash on a virtual M-mode across the septum of apical four-chamber clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.inputs import Clip
from models.preprocess import resample, square_window
from models.probability import Platt, percent_value, percent_words
from models.virtual_m_mode import (
    FRAME_SIDE,
    INPUT_SIDE,
    HeartCycle,
    NoHeartCycleError,
    ScanLine,
    Variant,
    choose_cycle,
    draw_strip,
    expected_place,
    measured_septum,
    network_input,
    scan_line,
    septum_contrast,
    septum_points,
)
from node.errors import NotAnalysableError, NotApplicableError
from node.facts import Kind
from node.findings.base import Drawing, Networks, Observation, Subject
from node.findings.echo_view import VIEWS
from node.findings.septal_flash_picture import FlashPicture, draw_flash
from node.findings.unusual import most_unusual, unusual_in, unusual_of
from node.findings.ventricle import ECHO_E3NET, ventricle_of
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

SEPTAL_FLASH = "septal_flash"
#: About when a septum flashes, after the R peak.
_FLASH_MS = 90.0
#: The region is the part of the scan line within this many half bands of the septum, and so wide.
_REGION_BANDS, _REGION_WIDTH = 1.3, 0.02


class SeptalFlash:
    """One line across the mid-basal septum, from one R peak to the next, read by DenseNet121."""

    name = "septal_flash"
    title = "Septal flash"
    networks: tuple[str, ...] = (SEPTAL_FLASH, ECHO_E3NET)
    needs: tuple[str, ...] = ("echo_view",)
    kinds: frozenset[Kind] = frozenset({"clip"})
    series_number = 9050

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Lay the line, draw the strip and read it.

        Raises
        ------
        NotApplicableError
            The view is not the apical four-chamber view.
        NotAnalysableError
            The view is uncertain, there are no R peaks or no heart cycle with enough frames
            between them, the clip is too short for the network that finds the ventricle, or the
            septum can't be seen.
        """
        clip, view_probability = _four_chamber_clip(subject)
        peaks = subject.r_peaks
        if peaks is None:
            raise NotAnalysableError(
                "no R peaks: neither a vector of R wave times nor a readable ECG trace"
            )
        try:
            cycle = choose_cycle(peaks.times_ms, clip.frame_times_ms)
        except NoHeartCycleError as error:
            raise NotAnalysableError(f"{error} (R peaks: {peaks.source})") from error
        borders = np.asarray(ventricle_of(subject, networks)["borders"], dtype=np.float64)
        border = borders[:, 0].mean(axis=0)
        aspect = _aspect(clip)
        points = septum_points(border, aspect)
        line = scan_line(points, border, aspect)
        card = cards[SEPTAL_FLASH]
        variant = _variant(card)
        strip = _strip(subject, clip, line, cycle)
        _require_septum(strip, line, card)
        septum = measured_septum(strip, line)
        strips = network_input(strip, variant)[None]
        result = networks.run(SEPTAL_FLASH, "predict", {"strips": strips})
        probability = _calibrated(card, np.asarray(result["logits"], dtype=np.float64)[0])
        threshold = card.threshold("septal_flash_probability")
        present = probability >= threshold
        answer = np.array([int(present)], dtype=np.int64)
        explained = networks.run(SEPTAL_FLASH, "explain", {"strips": strips, "answer": answer})
        heat = np.asarray(explained["heat"][0], dtype=np.float64)
        heat = heat / max(float(heat.max()), 1e-12)
        moments = (cycle.start_ms, cycle.start_ms + _FLASH_MS, cycle.end_ms)
        frame, early, following = (
            int(np.abs(clip.frame_times_ms - ms).argmin()) + 1 for ms in moments
        )
        return {
            "probability": probability,
            "threshold": threshold,
            "present": bool(present),
            "localisation": _localisation(
                heat, expected_place(line, cycle, variant, septum=septum)
            ),
            "septum": round(septum, 5),
            "variant": variant,
            "heat": np.round(heat, 4).tolist(),
            "cycle_ms": [round(cycle.start_ms, 2), round(cycle.end_ms, 2)],
            "r_peaks": peaks.source,
            "view_probability": view_probability,
            "frame": frame,
            "early_frame": early,
            "following_frame": following,
            "line": [*line.start, *line.end, line.band],
            "line_pixels": _in_source(subject, np.array([line.start, line.end])).tolist(),
            "septum_pixels": _in_source(subject, points).round(2).tolist(),
            "outline": _outline(subject, line, septum, aspect),
            "unusual": unusual_of(card, np.asarray(result["features"])),
        }

    def headline(self, observation: Observation) -> str:
        """``Septal flash present, 93 %``."""
        word = "present" if observation["present"] else "absent"
        return f"Septal flash {word}, probability {percent_words(observation['probability'])}"

    def explain(self, subject: Subject, observation: Observation, networks: Networks) -> Drawing:
        """Draw the line on the end-diastolic frame, and the strip with the Grad-CAM++ over it."""
        clip, _ = _four_chamber_clip(subject)
        *ends, band = observation["line"]
        line = ScanLine((ends[0], ends[1]), (ends[2], ends[3]), band)
        cycle = HeartCycle(*observation["cycle_ms"])
        start, end = np.asarray(observation["line_pixels"], dtype=np.float64)
        length_mm = None
        if clip.pixel_spacing_mm is not None:
            row_mm, column_mm = clip.pixel_spacing_mm
            length_mm = float(np.hypot(*((end - start) * (column_mm, row_mm))))
        picture = FlashPicture(
            frame=clip.colour[observation["frame"] - 1],
            box=subject.window.box,
            line=np.stack([start, end]),
            septum=np.asarray(observation["septum_pixels"], dtype=np.float64),
            strip=_strip(subject, clip, line, cycle),
            variant=observation["variant"],
            heat=np.asarray(observation["heat"], dtype=np.float32),
            middle=observation["septum"],
            band=band,
            duration_ms=cycle.duration_ms,
            length_mm=length_mm,
            r_peaks=observation["r_peaks"],
        )
        return Drawing(
            frames=draw_flash(picture),
            headline=self.headline(observation),
            method=codes.GRADIENT_CLASS_ACTIVATION,
        )

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """The mean probability over the clips, on the clip with the surest view; then each clip.

        The line is the same in all frames: each group of a clip is drawn on a frame of its own, so
        that the labels of these flat regions don't cover each other.
        """
        probability = float(np.mean([o["probability"] for _, o in observations]))
        present = probability >= observations[0][1]["threshold"]
        surest = max(observations, key=lambda o: o[1]["view_probability"])
        groups = [
            replace(
                _group(surest, "frame", probability, "Study: septal flash", present=present),
                unusual=most_unusual(o for _, o in observations),
            )
        ]
        for number, item in enumerate(observations, start=1):
            seen = item[1]
            title = f"Clip {number}: septal flash"
            groups.append(
                _group(item, "following_frame", seen["probability"], title, present=seen["present"])
            )
            if seen["present"]:
                groups.append(_localisation_group(item, f"Clip {number}: localisation"))
        return tuple(groups)


def _four_chamber_clip(subject: Subject) -> tuple[Clip, float]:
    """The clip and its view's probability, when it is an apical four-chamber view for certain."""
    clip = subject.input
    if not isinstance(clip, Clip):
        raise NotApplicableError("septal flash needs a moving image")
    seen = required_view(subject, ("A4C",), "not apical four-chamber")
    return clip, float(seen["probability"])


def _require_septum(strip: npt.NDArray[np.uint8], line: ScanLine, card: Card) -> None:
    """Refuse a strip in which the septum does not stand out."""
    contrast = septum_contrast(network_input(strip, "cropped"), line)
    if contrast < card.threshold("septum_contrast"):
        raise NotAnalysableError(
            f"the septum can't be seen on the scan line: a contrast of {contrast:.0f} grey levels"
        )


def _variant(card: Card) -> Variant:
    return "whole" if card.input.get("variant") == "whole" else "cropped"


def _calibrated(card: Card, logits: npt.NDArray[np.float64]) -> float:
    """Probability of a flash of logits ``(2,)``."""
    slope = card.calibration.get("septal_flash_slope", 1.0)
    intercept = card.calibration.get("septal_flash_intercept", 0.0)
    return float(Platt(slope, intercept)(logits[1] - logits[0]))


def _aspect(clip: Clip) -> float:
    """Height of a pixel relative to its width; 1 without a calibration."""
    if clip.pixel_spacing_mm is None:
        return 1.0
    row, column = clip.pixel_spacing_mm
    return row / column


def _strip(
    subject: Subject, clip: Clip, line: ScanLine, cycle: HeartCycle
) -> npt.NDArray[np.uint8]:
    """The virtual M-mode ``(500, 500)``; only the cycle's frames are cut out."""
    times = clip.frame_times_ms
    first = max(int(np.searchsorted(times, cycle.start_ms)) - 1, 0)
    last = min(int(np.searchsorted(times, cycle.end_ms)) + 1, len(times))
    window = square_window(subject.sector, FRAME_SIDE)
    frames = resample(clip.frames[first:last], window, subject.sector.mask)
    return draw_strip(frames, times[first:last], line, cycle)


def _localisation(heat: npt.NDArray[np.float64], place: npt.NDArray[np.bool_]) -> float:
    """Share of the heat inside septum x early systole ``(256, 256)``."""
    large = cv2.resize(heat, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_LINEAR)
    return round(float(large[place].sum() / max(float(large.sum()), 1e-12)), 4)


def _in_source(subject: Subject, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fractions of the window to source pixels."""
    return subject.window.to_source(points * subject.window.size)


def _outline(subject: Subject, line: ScanLine, septum: float, aspect: float) -> list[list[float]]:
    """A thin closed polygon along the scan line where it crosses the septum, source pixels."""
    isotropic = np.array([line.start, line.end]) * (1.0, aspect)
    along = isotropic[1] - isotropic[0]
    beside = np.array([-along[1], along[0]]) * _REGION_WIDTH / 2
    reach = _REGION_BANDS * line.band
    near = isotropic[0] + max(septum - reach, 0.0) * along
    far = isotropic[0] + min(septum + reach, 1.0) * along
    ring = np.stack([near - beside, far - beside, far + beside, near + beside]) / (1.0, aspect)
    rows, columns = subject.frames.shape[1:]
    kept = np.clip(_in_source(subject, ring), [0.5, 0.5], [columns - 0.5, rows - 0.5])
    return [[round(float(x), 2), round(float(y), 2)] for x, y in kept]


def _group(
    item: tuple[ImageReference, Observation],
    frame: str,
    probability: float,
    tracking_id: str,
    *,
    present: bool,
) -> Group:
    word = "present" if present else "absent"
    return _septal(
        item,
        frame,
        tracking_id,
        Measurement(codes.PROBABILITY, percent_value(probability), PERCENT),
        codes.PRESENT if present else codes.ABSENT,
        f"Septal flash {word} {percent_words(probability)}",
    )


def _localisation_group(item: tuple[ImageReference, Observation], tracking_id: str) -> Group:
    percent = 100 * item[1]["localisation"]
    return _septal(
        item,
        "early_frame",
        tracking_id,
        Measurement(codes.FLASH_ACTIVATION, round(percent, 1), PERCENT),
        codes.PRESENT,
        f"{percent:.0f} % of the heat on the flash",
    )


def _septal(
    item: tuple[ImageReference, Observation],
    frame: str,
    tracking_id: str,
    measurement: Measurement,
    answer: Code,
    comment: str,
) -> Group:
    image, seen = item
    return Group(
        tracking_id=tracking_id,
        finding=codes.SEPTAL_FLASH,
        site=codes.INTERVENTRICULAR_SEPTUM,
        measurement=measurement,
        region=Region(tuple((x, y) for x, y in seen["outline"]), replace(image, frame=seen[frame])),
        qualitative=(
            QualitativeFinding(codes.IMAGE_VIEW, VIEWS["A4C"]),
            QualitativeFinding(codes.SEPTAL_FLASH, answer),
            QualitativeFinding(codes.IMAGE_MODE, codes.M_MODE),
        ),
        comment=comment,
        unusual=unusual_in(seen),
    )
