"""Draws a septal flash: scan line on the B-mode frame, strip, and where the network looked."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Box
from models.virtual_m_mode import EARLY_SYSTOLE_MS, STRIP_SIDE, Variant

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

_SIDE = 480  # of the panels
_STRIP_WIDTH = 400
_TOP, _BOTTOM = 44, 62  # titles above, axes below the panels
_LEFT = (20, 584, 1108)  # of the B-mode frame, the whole strip, the network's part of it
_WIDTH, _HEIGHT = 1680, _TOP + _SIDE + _BOTTOM
_FONT_SIZE, _SMALL = 17, 14
_WHITE: Colour = (255, 255, 255)
_DIM: Colour = (175, 175, 175)
_LINE: Colour = (80, 220, 255)
_SEPTUM: Colour = (255, 225, 70)
_R_PEAK: Colour = (90, 240, 120)
_STRONGEST_ALPHA = 0.6
_FADE_IN = (0.12, 0.55)  # heat below the first is not shown, above the second fully


@dataclass(frozen=True, slots=True)
class FlashPicture:
    """What is drawn.

    Attributes
    ----------
    frame
        The end-diastolic frame as displayed, RGB, ``(rows, columns, 3)``.
    box
        The square of it around the sector; it may reach beyond the image.
    line, septum
        The scan line's ends ``(2, 2)``, from the strip's top, and the septum's points ``(62, 2)``,
        in pixels of the frame.
    strip
        The virtual M-mode, grey, ``(500, 500)``.
    variant
        Which part of it the network saw.
    heat
        Its Grad-CAM++, 0 to 1, ``(8, 8)``.
    middle, band
        Where the septum lies in the strip, and half the height of its band, as shares of the line.
    duration_ms, length_mm
        What the strip spans; the length is None without a calibration.
    r_peaks
        Where the R peaks come from.
    """

    frame: Image
    box: Box
    line: Points
    septum: Points
    strip: Image
    variant: Variant
    heat: npt.NDArray[np.float32]
    middle: float
    band: float
    duration_ms: float
    length_mm: float | None
    r_peaks: str


def draw_flash(picture: FlashPicture) -> Image:
    """Draw two pages, RGB ``(2, rows, columns, 3)``: with the heat, and without it."""
    page = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
    _draw_frame(page, picture)
    _draw_strip(page, picture)
    plain = page.copy()
    _draw_part(page, picture, heat=True)
    _draw_part(plain, picture, heat=False)
    return np.stack([page, plain])


def _draw_frame(page: Image, picture: FlashPicture) -> None:
    left = _LEFT[0]
    panel = _panel(page, left, _SIDE)
    box = picture.box
    rows, columns = picture.frame.shape[:2]
    x0, y0, x1, y1 = max(box.x0, 0), max(box.y0, 0), min(box.x1, columns), min(box.y1, rows)
    square = np.zeros((box.height, box.width, 3), np.uint8)
    square[y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0] = picture.frame[y0:y1, x0:x1]
    panel[:] = cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    scale = _SIDE / box.width
    line = (picture.line - (box.x0, box.y0)) * scale
    septum = (picture.septum - (box.x0, box.y0)) * scale
    for point in septum[::3]:
        _dot(panel, point, _SEPTUM, 1)
    _stroke(panel, line[0], line[1], _LINE, 2)
    share = picture.middle + np.array([[-picture.band], [picture.band]])
    near, far = line[0] + np.clip(share, 0, 1) * (line[1] - line[0])
    _stroke(panel, near, far, _SEPTUM, 4)
    away = np.array([0.0, -12.0])
    _label(panel, "RV", np.clip(line[0] + away, (4, 18), (_SIDE - 90, _SIDE - 8)), _LINE)
    _label(panel, "lateral", np.clip(line[1] + away, (4, 18), (_SIDE - 64, _SIDE - 8)), _LINE)
    _title(page, left, "End-diastole: scan line and septum")
    legend = "line: strip, thick part: septum; dots: septum found from the border"
    _text(page, legend, (left, _TOP + _SIDE + 24), _DIM, _SMALL)


def _draw_strip(page: Image, picture: FlashPicture) -> None:
    left = _LEFT[1]
    panel = _panel(page, left, _STRIP_WIDTH)
    grey = cv2.resize(picture.strip, (_STRIP_WIDTH, _SIDE), interpolation=cv2.INTER_AREA)
    panel[:] = grey[..., None]
    if picture.variant == "cropped":
        _dashed(panel, (0, 0, _STRIP_WIDTH // 2, _SIDE // 2), _WHITE)
    for x in (0, _STRIP_WIDTH - 1):
        tip = np.array([[left + x - 6, _TOP - 9], [left + x + 6, _TOP - 9], [left + x, _TOP]])
        cv2.fillPoly(page, [tip.astype(np.int32)], _R_PEAK, cv2.LINE_AA)
        _text(page, "R", (left + x - 5, _TOP - 12), _R_PEAK, _SMALL)
    _text(page, "Virtual M-mode, R to R", (left + 40, _TOP - 16), _WHITE, _FONT_SIZE)
    _time_axis(page, left, _STRIP_WIDTH, picture.duration_ms)
    _depth_axis(page, left, picture.length_mm, 1.0)
    _text(page, f"R peaks: {picture.r_peaks}", (left, _HEIGHT - 8), _R_PEAK, _SMALL)


def _draw_part(page: Image, picture: FlashPicture, *, heat: bool) -> None:
    left = _LEFT[2]
    panel = _panel(page, left, _SIDE)
    zoom = 2 if picture.variant == "cropped" else 1
    side = STRIP_SIDE // zoom
    part = cv2.resize(picture.strip[:side, :side], (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    panel[:] = part[..., None]
    if heat:
        large = cv2.resize(picture.heat, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
        _blend(panel, np.clip(large, 0, 1))
        _colour_bar(page, left + _SIDE + 14)
    span_ms = picture.duration_ms / zoom
    right = round(min(EARLY_SYSTOLE_MS[1] / span_ms, 1.0) * _SIDE) - 1
    top, bottom = (
        round(min(max((picture.middle + sign * picture.band) * zoom, 0.0), 1.0) * _SIDE)
        for sign in (-1, 1)
    )
    _dashed(panel, (0, top, right, bottom), _SEPTUM)
    words = "seen by the network" if picture.variant == "cropped" else "the whole strip"
    _title(page, left, f"Detail, {words}" + (", with Grad-CAM++" if heat else ""))
    _time_axis(page, left, _SIDE, span_ms)
    length = None if picture.length_mm is None else picture.length_mm / zoom
    _depth_axis(page, left, length, 1.0 / zoom)
    text = f"dashed: septum in early systole (R to {EARLY_SYSTOLE_MS[1]:.0f} ms)"
    _text(page, text, (left, _HEIGHT - 8), _SEPTUM, _SMALL)


def _panel(page: Image, left: int, width: int) -> Image:
    return page[_TOP : _TOP + _SIDE, left : left + width]


def _title(page: Image, left: int, words: str) -> None:
    _text(page, words, (left, _TOP - 16), _WHITE, _FONT_SIZE)


def _time_axis(page: Image, left: int, width: int, duration_ms: float) -> None:
    """Ticks every 100 ms (200 where they would crowd)."""
    step = 100 if duration_ms * 45 < width * 100 else 200
    y = _TOP + _SIDE
    for ms in range(0, int(duration_ms) + 1, step):
        x = left + round(ms / duration_ms * (width - 1))
        cv2.line(page, (x, y), (x, y + 6), _DIM, 1)
        _text(page, str(ms), (x - (4 if ms == 0 else 12), y + 24), _DIM, _SMALL)
    _text(page, "ms", (left + width + 20, y + 24), _DIM, _SMALL)


def _depth_axis(page: Image, left: int, length_mm: float | None, share: float) -> None:
    """Millimetres along the line from its top, or percent of the line without a calibration."""
    span = length_mm if length_mm is not None else 100 * share
    step = next(s for s in (5, 10, 20, 25, 50, 100, 1000) if span / s <= 8)
    unit = "mm" if length_mm is not None else "%"
    for value in range(0, int(span) + 1, step):
        y = _TOP + round(value / span * (_SIDE - 1))
        cv2.line(page, (left - 7, y), (left - 1, y), _DIM, 1)
        words = f"{value} {unit}" if value == 0 else str(value)
        _text(page, words, (left - 12 - 8 * len(words), y + 5), _DIM, _SMALL)


def _blend(panel: Image, heat: npt.NDArray[np.float32]) -> None:
    ramp = np.clip((heat - _FADE_IN[0]) / (_FADE_IN[1] - _FADE_IN[0]), 0, 1)
    alpha = (_STRONGEST_ALPHA * ramp * ramp * (3 - 2 * ramp))[..., None]
    colours = _inferno((heat * 255).astype(np.uint8))
    panel[:] = np.round(panel * (1 - alpha) + colours * alpha).astype(np.uint8)


def _inferno(values: Image) -> Image:
    return np.asarray(cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[..., ::-1], dtype=np.uint8)


def _colour_bar(page: Image, left: int) -> None:
    length = _SIDE // 2
    top = _TOP + (_SIDE - length) // 2
    values = np.linspace(255, 0, length).astype(np.uint8)[:, None].repeat(14, axis=1)
    page[top : top + length, left : left + 14] = _inferno(values)
    _text(page, "high", (left, top - 8), _DIM, _SMALL)
    _text(page, "low", (left, top + length + 18), _DIM, _SMALL)
    _text(page, "influence", (left, top - 26), _DIM, _SMALL)


def _text(page: Image, words: str, at: tuple[int, int], colour: Colour, size: int) -> None:
    cv2.putText(page, words, at, colour, cv2.FontFace("sans"), size, 450)


def _label(panel: Image, words: str, at: Points, colour: Colour) -> None:
    """Words with a dark rim, to be read on tissue."""
    x, y = (round(float(v)) for v in at)
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        _text(panel, words, (x + dx, y + dy), (0, 0, 0), _SMALL)
    _text(panel, words, (x, y), colour, _SMALL)


def _dot(panel: Image, at: Points, colour: Colour, radius: int) -> None:
    centre = (round(float(at[0])), round(float(at[1])))
    cv2.circle(panel, centre, radius, colour, -1, cv2.LINE_AA)


def _stroke(panel: Image, start: Points, end: Points, colour: Colour, width: int) -> None:
    a, b = ((round(float(p[0])), round(float(p[1]))) for p in (start, end))
    cv2.line(panel, a, b, (0, 0, 0), width + 2, cv2.LINE_AA)
    cv2.line(panel, a, b, colour, width, cv2.LINE_AA)


def _dashed(panel: Image, box: tuple[int, int, int, int], colour: Colour) -> None:
    x0, y0, x1, y1 = box
    x1, y1 = min(x1, panel.shape[1] - 1), min(y1, panel.shape[0] - 1)
    for x in range(x0, x1, 12):
        for y in (y0, y1):
            cv2.line(panel, (x, y), (min(x + 6, x1), y), colour, 1)
    for y in range(y0, y1, 12):
        for x in (x0, x1):
            cv2.line(panel, (x, y), (x, min(y + 6, y1)), colour, 1)
