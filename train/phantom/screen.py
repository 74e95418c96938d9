"""The screen of a simulated echo machine: sector, text, grey bar and a running ECG strip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from train.phantom.clip import PhantomClip

ROWS, COLUMNS = 480, 640
#: Side of the square window that holds the sector, and its top left corner.
WINDOW, LEFT, TOP = 400, 120, 24
ECG_TOP, ECG_BOTTOM = 428, 476


@dataclass(frozen=True, slots=True)
class Screen:
    """What the machine displays.

    Attributes
    ----------
    frames
        uint8 RGB ``(frames, 480, 640, 3)``.
    pixel_cm
        Size of a pixel of the sector.
    """

    frames: np.ndarray
    pixel_cm: float


def ecg_millivolts(
    times_ms: np.ndarray, r_peaks_ms: tuple[float, ...], period_ms: float
) -> np.ndarray:
    """A plain lead II for the strip: P, QRS and T as Gaussians around every R peak.

    Parameters
    ----------
    times_ms
        Any shape.
    r_peaks_ms
        R peaks; one more is assumed a period before the first and after the last.
    period_ms
        RR interval.
    """
    peaks = np.array(r_peaks_ms if r_peaks_ms else (0.0,))
    peaks = np.concatenate([[peaks[0] - period_ms], peaks, [peaks[-1] + period_ms]])
    out = np.zeros_like(times_ms, dtype=np.float64)
    for delay, width, height in (
        (-170, 28, 0.14),
        (-28, 9, -0.12),
        (0, 11, 1.1),
        (28, 10, -0.22),
        (0.3 * period_ms, 50, 0.28),
    ):
        out += height * np.exp(-(((times_ms[..., None] - peaks - delay) / width) ** 2)).sum(-1)
    return out


def draw_screen(clip: PhantomClip, heart_rate_bpm: float) -> Screen:
    """Compose the display of a clip that was rendered at :data:`WINDOW` pixels.

    Parameters
    ----------
    clip
        Frames of ``(WINDOW, WINDOW)``.
    heart_rate_bpm
        Shown as text; sets the strip's period.

    Raises
    ------
    ValueError
        The clip has another size.
    """
    if clip.frames.shape[1:] != (WINDOW, WINDOW):
        raise ValueError(f"a screen needs {WINDOW} x {WINDOW} frames, not {clip.frames.shape[1:]}")
    backdrop = _backdrop(clip, heart_rate_bpm)
    times = clip.cycle.times_ms
    span = float(times[-1] + clip.frame_time_ms)
    trace_x = np.arange(LEFT, COLUMNS - 40)
    trace_ms = (trace_x - LEFT) / (len(trace_x) - 1) * span
    trace = ecg_millivolts(trace_ms, clip.cycle.r_peaks_ms, 60_000.0 / heart_rate_bpm)
    trace_y = np.clip(ECG_BOTTOM - 14 - trace * 24, ECG_TOP, ECG_BOTTOM - 1)
    points = np.stack([trace_x, trace_y], axis=1).round().astype(np.int32)
    frames = np.empty((len(clip.frames), ROWS, COLUMNS, 3), dtype=np.uint8)
    for at, window in enumerate(clip.frames):
        frame = backdrop.copy()
        part = frame[TOP : TOP + WINDOW, LEFT : LEFT + WINDOW]
        np.copyto(part, window[..., None], where=window[..., None] > 0)
        drawn = points[trace_ms <= times[at]]
        cv2.polylines(frame, [drawn], False, (60, 220, 90), 1, cv2.LINE_AA)
        frames[at] = frame
    return Screen(frames, clip.side_cm / WINDOW)


def _backdrop(clip: PhantomClip, heart_rate_bpm: float) -> np.ndarray:
    """Everything that stays: texts, depth ticks, grey bar; drawn once."""
    screen = np.zeros((ROWS, COLUMNS, 3), dtype=np.uint8)
    machine = clip.machine
    lines = (
        "cardionode phantom",
        "SIMULATED",
        f"{1000 / clip.frame_time_ms:.0f} Hz",
        f"{machine.depth_cm:.1f} cm",
        f"Gn {machine.gain_db:+.0f} dB",
        f"C {machine.dynamic_range_db:.0f}",
    )
    for row, text in enumerate(lines):
        cv2.putText(
            screen,
            text,
            (6, 22 + 18 * row),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.36,
            (190, 190, 190),
            1,
            cv2.LINE_AA,
        )
    cv2.putText(
        screen,
        f"{heart_rate_bpm:.0f} bpm",
        (COLUMNS - 78, 470),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.4,
        (60, 220, 90),
        1,
        cv2.LINE_AA,
    )
    bar = np.linspace(255, 0, 150).astype(np.uint8)[:, None, None]
    screen[40:190, COLUMNS - 26 : COLUMNS - 14] = bar
    for cm in range(0, int(clip.side_cm) + 1, 5):
        y = int(TOP + cm / clip.side_cm * WINDOW)
        cv2.line(screen, (COLUMNS - 60, y), (COLUMNS - 54, y), (160, 160, 160), 1)
    return screen
