"""From displayed ultrasound frames to the networks' square grey input: sector, window, clip.

The same functions prepare training data and the node's input. The sector is fitted as a fan (two
edges and two arcs) instead of taken as the largest bright region, because black gaps split it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

from models.inputs import Box, ClipWindow

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

SIZE = 112
CLIP_LENGTH = 32
CLIP_PERIOD = 2

_WORKING_SIDE = 360  # longer side of the image in which the fan is fitted, in pixels
_MOST_FRAMES = 24  # looked at per clip
_LEAST_AREA = 0.03  # of the image, below which there is no sector
_LEAST_HALF_ANGLE_DEG = 12
#: Share of its box that a rectangle fills at least; an ellipse fills 0.79.
_RECTANGLE = 0.92


@dataclass(frozen=True, slots=True)
class Sector:
    """Where the ultrasound image lies in a frame.

    Attributes
    ----------
    box
        Bounding box of the mask.
    mask
        True inside, ``(rows, columns)``; a declared ECG strip is False.
    is_fan
        False for the rectangle of a linear probe or an image without slanted edges.
    """

    box: Box
    mask: Mask
    is_fan: bool

    @property
    def is_rectangle(self) -> bool:
        """Whether it fills its box, as a linear probe's image does and the hull of no fan."""
        box = self.box
        return bool(self.mask[box.y0 : box.y1, box.x0 : box.x1].mean() > _RECTANGLE)


@dataclass(frozen=True, slots=True)
class _Edge:
    """A straight side: points with ``normal @ point <= offset`` lie inside; angle to vertical."""

    normal: Points
    offset: float
    half_angle_deg: float
    support: float


def fit_sector(frames: Frames, region: Box | None = None, ecg: Box | None = None) -> Sector | None:
    """Find the ultrasound fan.

    Parameters
    ----------
    frames
        ``(frames, rows, columns)``; one frame for a still.
    region
        Where the object says the B-mode image is; nothing outside is looked at.
    ecg
        Where an ECG trace is drawn.

    Returns
    -------
    The sector, or None when the frames show none.
    """
    rows, columns = frames.shape[1:]
    scale = min(1.0, _WORKING_SIDE / max(rows, columns))
    looked_at = frames[np.linspace(0, len(frames) - 1, min(len(frames), _MOST_FRAMES)).astype(int)]
    small = np.stack(
        [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in looked_at]
    )
    allowed = _allowed((rows, columns), region, ecg)
    allowed_small = (
        cv2.resize(allowed.astype(np.uint8), small.shape[:0:-1], interpolation=cv2.INTER_NEAREST)
        > 0
    )
    signal = _signal(small, allowed_small)
    if signal is None:
        return None
    outline, is_fan = _outline(signal, _lit(small) & allowed_small)
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [np.round(outline / scale).astype(np.int32)], 1)
    inside = (mask > 0) & allowed
    ys, xs = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(ys) < 16 or len(xs) < 16:
        return None
    box = Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    return Sector(box, inside, is_fan)


def square_window(sector: Sector, size: int = SIZE) -> ClipWindow:
    """Pad the sector's box to a centred square, which may reach beyond the image."""
    box = sector.box
    side = max(box.width, box.height)
    x0, y0 = box.x0 - (side - box.width) // 2, box.y0 - (side - box.height) // 2
    return ClipWindow(Box(x0, y0, x0 + side, y0 + side), size)


def resample(frames: Frames, window: ClipWindow, mask: Mask | None = None) -> Frames:
    """Cut the window out and reduce it by area averaging; black outside image and mask.

    Parameters
    ----------
    frames
        ``(frames, rows, columns)``.
    window
        From :func:`square_window`.
    mask
        ``(rows, columns)``, True where pixels are kept.

    Returns
    -------
    ``(frames, size, size)``.
    """
    rows, columns = frames.shape[1:]
    box, size = window.box, window.size
    y0, y1 = max(box.y0, 0), min(box.y1, rows)
    x0, x1 = max(box.x0, 0), min(box.x1, columns)
    square = np.zeros((box.height, box.width), np.uint8)
    inner = square[y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0]
    kept = None if mask is None else mask[y0:y1, x0:x1]
    shrinks = box.width >= size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out = np.empty((len(frames), size, size), np.uint8)
    for target, frame in zip(out, frames, strict=True):
        cut = frame[y0:y1, x0:x1]
        inner[...] = cut if kept is None else np.where(kept, cut, 0)
        target[...] = cv2.resize(square, (size, size), interpolation=interpolation)
    return out


def clip_starts(
    frames: int, length: int = CLIP_LENGTH, period: int = CLIP_PERIOD, stride: int = 1
) -> list[int]:
    """First frames of the clips that fit; ``[0]`` for a cine shorter than one clip."""
    last = frames - ((length - 1) * period + 1)
    return list(range(0, max(last, 0) + 1, stride))


def window_frames(
    frames: Frames, start: int, length: int = CLIP_LENGTH, period: int = CLIP_PERIOD
) -> tuple[Frames, int]:
    """Take every `period`-th frame.

    Returns
    -------
    ``(length, rows, columns)`` with black frames at the end when the cine is too short, and the
    number of real ones, which the network needs to pad after its normalisation.
    """
    taken = frames[start::period][:length]
    out = np.zeros((length, *frames.shape[1:]), np.uint8)
    out[: len(taken)] = taken
    return out, len(taken)


def _allowed(shape: tuple[int, int], region: Box | None, ecg: Box | None) -> Mask:
    allowed = np.ones(shape, np.bool_)
    if region is not None and region.width > 16 and region.height > 16:
        allowed[:] = False
        allowed[max(region.y0, 0) : region.y1, max(region.x0, 0) : region.x1] = True
    if ecg is not None:
        allowed[max(ecg.y0, 0) : ecg.y1, max(ecg.x0, 0) : ecg.x1] = False
    return allowed


def _lit(frames: Frames) -> Mask:
    """Pixels that differ from the background in some frame."""
    brightest = frames.max(0)
    share = np.bincount(brightest.ravel(), minlength=256) / brightest.size
    background = int(share.argmax()) if share.max() > 0.1 else 0
    difference = cv2.absdiff(brightest, np.full_like(brightest, background))
    return cv2.blur(difference, (3, 3)) > 6


def _signal(frames: Frames, allowed: Mask) -> Mask | None:
    """Large areas that move (cines) or are lit (stills); text, bars and traces opened away."""
    moving = frames.astype(np.float32).std(0)
    is_cine = len(frames) >= 4 and float((moving > 2).mean()) > _LEAST_AREA
    found = (cv2.blur(moving, (3, 3)) > 1.2) if is_cine else _lit(frames)
    # Lines of text don't move, so only stills need a kernel higher than their letters.
    kernel = np.ones((5, 5) if is_cine else (11, 11), np.uint8)
    opened = cv2.morphologyEx((found & allowed).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    kept = np.zeros(opened.shape, np.bool_)
    largest = max(stats[1:, cv2.CC_STAT_AREA], default=0)
    least = 0.003 * opened.size if is_cine else 0.15 * largest
    for label in range(1, count):
        width, height, area = stats[label, cv2.CC_STAT_WIDTH : cv2.CC_STAT_AREA + 1]
        if area >= least and max(width, height) < 6 * min(width, height):
            kept |= labels == label
    return kept if kept.mean() >= _LEAST_AREA else None


def _outline(signal: Mask, lit: Mask) -> tuple[Points, bool]:
    """The fan's outline, or the convex hull where it has no two slanted edges."""
    ys, xs = np.nonzero(signal)
    hull = cv2.convexHull(np.column_stack([xs, ys]).astype(np.int32))[:, 0].astype(np.float64)
    left, right = _edge(signal, -1), _edge(signal, 1)
    slanted = [e for e in (left, right) if e.half_angle_deg >= _LEAST_HALF_ANGLE_DEG]
    if len(slanted) < 2:
        longest = max((e.support for e in slanted), default=0.0)
        return hull, longest > 0.25 * min(signal.shape)
    normals = np.stack([left.normal, right.normal])
    apex = np.linalg.solve(normals, np.array([left.offset, right.offset]))
    near, far = _arcs(lit, apex, left, right)
    angles = np.radians(np.linspace(-left.half_angle_deg, right.half_angle_deg, 60))
    directions = np.column_stack([np.sin(angles), np.cos(angles)])
    fan = np.concatenate([apex + far * directions, apex + near * directions[::-1]])
    return fan, True


def _edge(signal: Mask, side: int) -> _Edge:
    """The straight side with the most rows of signal ending on it; `side` -1 left, 1 right."""
    rows = np.flatnonzero(signal.sum(1) >= 3)
    if side < 0:
        ends = signal[rows].argmax(1).astype(np.float64)
    else:
        ends = signal.shape[1] - 1 - signal[rows][:, ::-1].argmax(1).astype(np.float64)
    # A side on the border of the image is where the fan was cut, not an edge of the fan.
    cut = (ends <= 1) | (ends >= signal.shape[1] - 2)
    points = np.column_stack([ends, rows])[~cut]
    best = _Edge(np.array([float(side), 0.0]), 0.0, 0.0, 0.0)
    if len(points) < 8:
        return best
    for angle in np.arange(0.0, 66.0, 0.5):
        normal = np.array([side * np.cos(np.radians(angle)), -np.sin(np.radians(angle))])
        projected = points @ normal
        offset = float(np.quantile(projected, 0.985))
        support = float((np.abs(projected - offset) <= 1.5).sum()) / np.cos(np.radians(angle))
        if support > best.support:
            best = _Edge(normal, offset + 0.5, float(angle), support)
    return best


def _arcs(lit: Mask, apex: Points, left: _Edge, right: _Edge) -> tuple[float, float]:
    """Radii of the near and far arc: where enough of the opening is lit."""
    ys, xs = np.nonzero(lit)
    dx, dy = xs - apex[0], ys - apex[1]
    radius, angle = np.hypot(dx, dy), np.degrees(np.arctan2(dx, dy))
    inside = (angle > -left.half_angle_deg) & (angle < right.half_angle_deg)
    reach = ceil(float(radius[inside].max())) + 1
    opening = np.radians(left.half_angle_deg + right.half_angle_deg)
    per_radius = np.bincount(radius[inside].astype(int), minlength=reach)
    covered = per_radius > 0.2 * opening * (np.arange(reach) + 0.5)
    # A dark gap splits the fan into long runs; lines of text below it are short ones.
    steps = np.flatnonzero(covered)
    runs = np.split(steps, np.flatnonzero(np.diff(steps) > max(3, 0.05 * reach)) + 1)
    longest = max(len(run) for run in runs)
    run = np.concatenate([run for run in runs if len(run) >= 0.15 * longest])
    return max(float(run[0]), 0.0), float(run[-1] + 1)
