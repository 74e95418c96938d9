"""Draws a twelve-lead ECG on its paper, with where the network looked under the traces."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.ecg import LEADS, RATE_HZ
from models.inputs import Box

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_MM = 5  # pixels of a millimetre of paper
_MM_PER_S = 25
_MM_PER_MV = (10.0, 5.0)  # as usual, and of leads that would cover their neighbours
_LARGE_MV = 2.0
_LIMB, _CHEST = slice(0, 6), slice(6, 12)
_PAGE_S = 10
_ROW_MM = 18  # between the baselines of two leads
_HEAT_MM = 8  # half height of the band of heat
_TOP, _BOTTOM, _LEFT, _RIGHT = 64, 56, 88, 190
_PAPER_WIDTH = _PAGE_S * _MM_PER_S * _MM
_PAPER_HEIGHT = (len(LEADS) * _ROW_MM + 8) * _MM
_WIDTH, _HEIGHT = _LEFT + _PAPER_WIDTH + _RIGHT, _TOP + _PAPER_HEIGHT + _BOTTOM

_PAPER: Colour = (255, 252, 250)
_THIN: Colour = (250, 226, 222)
_THICK: Colour = (240, 188, 182)
_TRACE: Colour = (15, 15, 25)
_INK: Colour = (40, 40, 50)
_DIM: Colour = (110, 110, 120)
_BAR: Colour = (96, 60, 150)
_FONT_SIZE, _SMALL = 19, 15
_SHIFT_BITS = 4
_STRONGEST_ALPHA = 0.85
_FADE_IN = (0.08, 0.6)  # heat below the first is not shown, above the second in full colour


@dataclass(frozen=True, slots=True)
class EcgPicture:
    """What is drawn.

    Attributes
    ----------
    signal
        mV at 500 Hz, baseline at 0, ``(12, samples)`` in the order of LEADS.
    heat
        0 to 1, ``(12, samples)``; not finite where no window of the network was.
    lead_weights
        Share of the network's attention to each lead, ``(12,)``.
    title
        One line above the paper.
    """

    signal: npt.NDArray[np.float32]
    heat: npt.NDArray[np.float32]
    lead_weights: npt.NDArray[np.float64]
    title: str


def draw_ecg(picture: EcgPicture) -> Image:
    """Draw pages of 10 s, 25 mm/s and 10 mm/mV, a row for each lead.

    Limb or chest leads that are too large for their rows are drawn at 5 mm/mV, as on paper.

    The colour behind a trace is the heat: from nothing over yellow to dark red. The bars on the
    right are the attention to each lead.

    Returns
    -------
    RGB, ``(pages, rows, columns, 3)``.
    """
    length = round(_PAGE_S * RATE_HZ)
    count = max(1, -(-picture.signal.shape[1] // length))
    gains = _gains(picture.signal)
    pages = []
    for number in range(count):
        part = slice(number * length, (number + 1) * length)
        page = _paper()
        for row in range(len(LEADS)):
            _draw_heat(page, row, picture.heat[row, part])
        for row, name in enumerate(LEADS):
            _draw_trace(page, row, picture.signal[row, part], gains[row])
            _write(page, name, (14, _baseline(row) + 6), _FONT_SIZE, _INK, 700)
        _draw_scale(page, gains)
        _draw_weights(page, picture.lead_weights)
        seconds = f"   {number * _PAGE_S}-{(number + 1) * _PAGE_S} s" if count > 1 else ""
        _write(page, picture.title + seconds, (14, 26), _FONT_SIZE, _INK, 600)
        _draw_legend(page)
        pages.append(page)
    return np.stack(pages)


def place(lead: int, first: int, last: int) -> tuple[int, Box]:
    """Say where a part of a lead is drawn.

    Parameters
    ----------
    lead
        Position in LEADS.
    first, last
        Samples at 500 Hz; what lies beyond the page of the first is cut.

    Returns
    -------
    The 0-based page, and the box around the lead's band in its pixels.
    """
    length = round(_PAGE_S * RATE_HZ)
    page = first // length
    columns = [_column(min(max(s - page * length, 0), length)) for s in (first, last)]
    middle, half = _baseline(lead), _HEAT_MM * _MM
    return page, Box(columns[0], middle - half, max(columns[1], columns[0] + 1), middle + half)


def _column(sample: float) -> int:
    return _LEFT + round(sample / RATE_HZ * _MM_PER_S * _MM)


def _baseline(row: int) -> int:
    return _TOP + (6 + _ROW_MM // 2 + row * _ROW_MM) * _MM


def _paper() -> Image:
    page = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    page[_TOP : _TOP + _PAPER_HEIGHT, _LEFT : _LEFT + _PAPER_WIDTH] = _PAPER
    for every, colour in ((1, _THIN), (5, _THICK)):
        for x in range(0, _PAPER_WIDTH + 1, every * _MM):
            page[_TOP : _TOP + _PAPER_HEIGHT, _LEFT + x] = colour
        for y in range(0, _PAPER_HEIGHT + 1, every * _MM):
            page[_TOP + y, _LEFT : _LEFT + _PAPER_WIDTH] = colour
    return page


def _draw_heat(page: Image, row: int, heat: npt.NDArray[np.float32]) -> None:
    """Tint the paper of one lead; the tint fades above and below the baseline."""
    columns = np.linspace(0, len(heat) - 1, _column(len(heat)) - _LEFT).round().astype(int)
    values = np.nan_to_num(heat)[columns]
    half = _HEAT_MM * _MM
    fade = np.clip(2 * (1 - np.abs(np.arange(-half, half)) / half), 0, 1)
    alpha = fade[:, None] * (_STRONGEST_ALPHA * _shown(values))[None, :]
    middle = _baseline(row)
    part = page[middle - half : middle + half, _LEFT : _LEFT + len(columns)]
    tinted = part * (1 - alpha[..., None]) + _colours(values)[None] * alpha[..., None]
    part[:] = np.round(tinted).astype(np.uint8)


def _shown(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    low, high = _FADE_IN
    ramp = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), np.float64)


def _colours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Yellow over orange to dark red, ``(N, 3)``."""
    knots = np.array([0.0, 0.35, 0.7, 1.0])
    table = np.array([[255, 240, 150], [254, 196, 79], [240, 90, 40], [165, 15, 21]], np.float64)
    return np.stack([np.interp(values, knots, table[:, c]) for c in range(3)], axis=-1)


def _gains(signal: npt.NDArray[np.float32]) -> list[float]:
    """Millimetres for a millivolt, of each lead."""
    gains = []
    for group in (_LIMB, _CHEST):
        large = np.percentile(np.abs(signal[group]), 99.7, axis=1).max() > _LARGE_MV
        gains += [_MM_PER_MV[1] if large else _MM_PER_MV[0]] * 6
    return gains


def _draw_trace(page: Image, row: int, lead: npt.NDArray[np.float32], gain: float) -> None:
    x = _LEFT + np.arange(len(lead)) * (_MM_PER_S * _MM / RATE_HZ)
    y = _baseline(row) - np.nan_to_num(lead) * (gain * _MM)
    points = np.stack([x, np.clip(y, _TOP, _TOP + _PAPER_HEIGHT)], axis=-1)
    fixed = np.round(points * (1 << _SHIFT_BITS)).astype(np.int32)
    cv2.polylines(page, [fixed], False, _TRACE, 1, cv2.LINE_AA, _SHIFT_BITS)


def _draw_scale(page: Image, gains: list[float]) -> None:
    """Pulses of 1 mV and 0.2 s left of the leads II and V2, and the scale in words."""
    for row in (LEADS.index("II"), LEADS.index("V2")):
        middle = _baseline(row)
        top, right = middle - round(gains[row] * _MM), _LEFT - 6
        left = right - 5 * _MM
        pulse = [(left - 4, middle), (left, middle), (left, top), (right, top), (right, middle)]
        cv2.polylines(page, [np.array(pulse, np.int32)], False, _TRACE, 1, cv2.LINE_AA)
    words = f"{_MM_PER_S} mm/s   limb {gains[0]:.0f}, chest {gains[-1]:.0f} mm/mV   0.67-150 Hz"
    _write(page, words, (_LEFT, _HEIGHT - 20), _SMALL, _DIM, 500)


def _draw_weights(page: Image, weights: npt.NDArray[np.float64]) -> None:
    left = _LEFT + _PAPER_WIDTH + 12
    room = _RIGHT - 82
    _write(page, "attention to lead", (left, _TOP - 10), _SMALL, _DIM, 500)
    strongest = max(float(np.max(weights)), 1e-9)
    for row, weight in enumerate(weights):
        middle = _baseline(row)
        right = left + max(1, round(room * float(weight) / strongest))
        cv2.rectangle(page, (left, middle - 9), (right, middle + 9), _BAR, cv2.FILLED)
        _write(page, f"{100 * weight:.0f} %", (right + 8, middle + 6), _SMALL, _INK, 500)


def _draw_legend(page: Image) -> None:
    """The colours of the heat, low to high, at the bottom right of the paper."""
    length, thickness = 260, 14
    right = _LEFT + _PAPER_WIDTH - 50
    bottom = _HEIGHT - 18
    values = np.linspace(0, 1, length, dtype=np.float32)
    alpha = (_STRONGEST_ALPHA * _shown(values))[:, None]
    bar = np.array(_PAPER) * (1 - alpha) + _colours(values) * alpha
    page[bottom - thickness : bottom, right - length : right] = np.round(bar).astype(np.uint8)
    frame = ((right - length - 1, bottom - thickness - 1), (right, bottom))
    cv2.rectangle(page, *frame, _DIM, 1)
    _write(
        page, "influence on the score: low", (right - length - 212, bottom - 1), _SMALL, _DIM, 500
    )
    _write(page, "high", (right + 8, bottom - 1), _SMALL, _DIM, 500)


def _write(
    page: Image, text: str, at: tuple[int, int], size: int, colour: Colour, weight: int
) -> None:
    cv2.putText(page, text, at, colour, cv2.FontFace("sans"), size, weight)
