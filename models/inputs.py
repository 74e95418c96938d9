"""The typed inputs that decoders make and networks consume: arrays with units.

This module imports numpy only, so that decoder children start without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in image pixels: columns ``x0 <= x < x1``, rows ``y0 <= y < y1``."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0


@dataclass(frozen=True, slots=True)
class Clip:
    """A B-mode ultrasound cine.

    Attributes
    ----------
    frames
        Luminance, uint8, ``(frames, rows, columns)``, 0 black to 255 white.
    colour
        The same frames as they are displayed, uint8 RGB, ``(frames, rows, columns, 3)``.
    frame_times_ms
        Time of each frame since the first, float64, ``(frames,)``; read from the object
        (FrameTime, FrameTimeVector, CineRate), never assumed.
    pixel_spacing_mm
        (row, column) spacing, or None where the object has no valid calibration.
    region
        The B-mode region of SequenceOfUltrasoundRegions when it lies inside the image, else None.
    ecg_strip
        The region of an ECG trace drawn in the image, when the object declares one.
    r_wave_times_ms
        R peaks since the first frame (RWaveTimeVector), empty when the object has none.
    heart_rate_bpm
        HeartRate of the object, None when absent or zero.
    """

    frames: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]
    frame_times_ms: npt.NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float] | None = None
    region: Box | None = None
    ecg_strip: Box | None = None
    r_wave_times_ms: tuple[float, ...] = ()
    heart_rate_bpm: float | None = None

    @property
    def duration_ms(self) -> float:
        """Time from the first frame to the end of the last, in ms."""
        n = len(self.frame_times_ms)
        if n < 2:
            return 0.0
        return float(self.frame_times_ms[-1] - self.frame_times_ms[0]) * n / (n - 1)


@dataclass(frozen=True, slots=True)
class Still:
    """A single B-mode ultrasound image.

    Attributes
    ----------
    frame
        Luminance, uint8, ``(rows, columns)``.
    colour
        As displayed, uint8 RGB, ``(rows, columns, 3)``.
    pixel_spacing_mm, region, ecg_strip
        As in :class:`Clip`.
    """

    frame: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]
    pixel_spacing_mm: tuple[float, float] | None = None
    region: Box | None = None
    ecg_strip: Box | None = None


@dataclass(frozen=True, slots=True)
class Strip:
    """An M-mode strip: depth by time.

    Attributes
    ----------
    image
        Luminance, uint8, ``(depths, times)``.
    time_step_ms
        Time between two columns.
    depth_step_mm
        Depth between two rows, or None without calibration.
    """

    image: npt.NDArray[np.uint8]
    time_step_ms: float
    depth_step_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Waveform:
    """One multiplex group of an ECG.

    Attributes
    ----------
    millivolts
        float32, ``(leads, samples)``; sensitivity, correction and baseline applied.
    leads
        Lead names as in the standard's coded terms, shortened: ``I``, ``II``, ``aVR``, ``V1`` ...
    sampling_hz
        Samples per second.
    label
        MultiplexGroupLabel (``RHYTHM``, ``MEDIAN BEAT`` ...), empty when absent.
    """

    millivolts: npt.NDArray[np.float32]
    leads: tuple[str, ...]
    sampling_hz: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """All multiplex groups of one ECG object, in their order."""

    groups: tuple[Waveform, ...]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A projection X-ray, brought to MONOCHROME2 (air dark, bone bright).

    Attributes
    ----------
    pixels
        float32, ``(rows, columns)``, 0 to 1 over the stored range after modality LUT.
    pixel_spacing_mm
        (row, column), or None.
    view_position
        ViewPosition (``PA``, ``AP``, ``LL`` ...), empty when absent.
    body_part
        BodyPartExamined, empty when absent.
    """

    pixels: npt.NDArray[np.float32]
    pixel_spacing_mm: tuple[float, float] | None = None
    view_position: str = ""
    body_part: str = ""


TypedInput = Clip | Still | Strip | Recording | Radiograph


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """Where a network's square input lies in the source frames.

    Attributes
    ----------
    box
        The square of the source that was resized; it may reach beyond the image (padded black).
    size
        Side of the network's input in pixels.
    """

    box: Box
    size: int

    def to_source(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map network pixels to source pixels.

        Parameters
        ----------
        points
            ``(..., 2)`` as (column, row) in the network's input, pixel centres at +0.5.

        Returns
        -------
        ``(..., 2)`` in the source image, the same convention.
        """
        scale = np.array([self.box.width, self.box.height], dtype=np.float64) / self.size
        return points * scale + np.array([self.box.x0, self.box.y0], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder returns for one instance.

    Attributes
    ----------
    input
        The typed input.
    notes
        What was unusual and how it was handled, in sentences a person can read.
    """

    input: TypedInput
    notes: tuple[str, ...] = field(default=())
