"""What one instance is, as far as its header and its pixels tell, and whether it can be decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from models.inputs import Box

Kind = Literal["clip", "still", "strip", "waveform", "radiograph"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ULTRASOUND = frozenset(_STORAGE + suffix for suffix in ("3", "3.1", "6", "6.1"))
_RADIOGRAPH = frozenset(_STORAGE + suffix for suffix in ("1", "1.1", "1.1.1"))
_FOR_PROCESSING = _STORAGE + "1.1.1"
_ECG = frozenset(_STORAGE + suffix for suffix in ("9.1.1", "9.1.2", "9.1.3", "9.1.4"))
# First match wins; the patterns are what follows the storage root (PS3.4 Annex B.5).
_NEVER_DECODED = (
    (r"88\.59", "key object selection"),
    (r"88\..*", "structured report"),
    (r"104\.1", "encapsulated PDF"),
    (r"104\..*", "encapsulated document"),
    (r"11\..*", "presentation state"),
    (r"7(\..*)?", "secondary capture"),
    (r"6\.2", "enhanced ultrasound volume"),
    (r"9\..*", "waveform that is not an ECG"),
    (r"1\.2(\..*)?", "mammogram"),
    (r"1\.3(\..*)?", "intra-oral radiograph"),
    (r"66(\..*)?", "raw data, registration or segmentation"),
)
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?")
#: Transfer syntaxes that are never read: inflating could take any amount of memory.
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})


def is_cardiac_class(sop_class_uid: str) -> bool:
    """Whether instances of a SOP class can be inputs: ultrasound, radiographs and ECGs."""
    return sop_class_uid in _ULTRASOUND | _RADIOGRAPH | _ECG


@dataclass(frozen=True, slots=True)
class UltrasoundRegion:
    """One item of SequenceOfUltrasoundRegions (PS3.3 C.8.5.5).

    Attributes
    ----------
    box
        Where it lies; as declared, so it may reach beyond the image (then ``valid`` is False).
    spatial_format
        0 none, 1 2D, 2 M-mode, 3 spectral, 4 waveform, 5 graphics.
    data_type
        1 tissue, 2 colour flow, 3 PW, 4 CW, 5 to 7 Doppler traces, 10 ECG trace and others.
    delta_x_mm, delta_y_mm
        Physical size of a pixel where the unit of that direction is cm, else None.
    delta_x_ms
        Time between two columns where the unit of that direction is seconds, else None.
    valid
        Whether the box lies inside the image.
    """

    box: Box
    spatial_format: int
    data_type: int
    delta_x_mm: float | None = None
    delta_y_mm: float | None = None
    delta_x_ms: float | None = None
    valid: bool = True

    @property
    def is_b_mode(self) -> bool:
        """Two-dimensional tissue."""
        return self.spatial_format == 1 and self.data_type == 1

    @property
    def is_colour(self) -> bool:
        """Colour flow, two-dimensional or M-mode."""
        return self.data_type == 2

    @property
    def is_m_mode(self) -> bool:
        """M-mode, tissue or colour."""
        return self.spatial_format == 2

    @property
    def is_spectral(self) -> bool:
        """PW or CW Doppler, or a trace of it."""
        return self.spatial_format == 3 or 3 <= self.data_type <= 7

    @property
    def is_ecg(self) -> bool:
        """An ECG trace drawn in the image."""
        return self.spatial_format == 4 and self.data_type == 10


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What is known of one instance; no patient data, so that it can be logged and shown.

    Attributes
    ----------
    sop_class_uid, transfer_syntax_uid, modality, photometric_interpretation
        As in the object.
    sop_class_name
        The standard's name of the SOP class, ``private SOP class`` when it has none.
    image_type
        Values of ImageType, upper case.
    frames, rows, columns
        0 when the object has no image.
    samples
        SamplesPerPixel.
    has_pixels, has_waveforms
        Whether there is something to decode.
    regions
        The ultrasound regions in their order.
    colour_doppler, m_mode, spectral
        From regions and ImageType; ``colour_doppler`` also from the pixels.
    volume
        3D rendering, by ImageType.
    frame_times_known
        Whether the times of the frames can be read from the object.
    pixel_spacing_mm
        (row, column), checked against the image bounds and for plausibility; None when not valid.
    r_wave_times_ms
        RWaveTimeVector, since the first frame.
    heart_rate_bpm
        None when absent or zero.
    body_part
        BodyPartExamined, upper case.
    exam
        Value 3 of ImageType of an ultrasound object (PS3.3 C.8.5.6.1.1), e.g. ``OBSTETRICAL``.
    view_position
        ViewPosition of a radiograph.
    presentation_intent
        ``FOR PRESENTATION``, ``FOR PROCESSING`` or empty.
    lossy
        Whether the pixels were ever compressed with loss.
    lossy_ratio, lossy_method
        All values of LossyImageCompressionRatio and LossyImageCompressionMethod.
    series_number
        None when absent.
    manufacturer
        Manufacturer and model name.
    view_hint
        ``PLAX``, ``A4C`` ... when the header names the view; a hint only, never a finding.
    """

    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    sop_class_name: str = ""
    image_type: tuple[str, ...] = ()
    frames: int = 0
    rows: int = 0
    columns: int = 0
    samples: int = 1
    has_pixels: bool = False
    has_waveforms: bool = False
    regions: tuple[UltrasoundRegion, ...] = ()
    colour_doppler: bool = False
    m_mode: bool = False
    spectral: bool = False
    volume: bool = False
    frame_times_known: bool = False
    pixel_spacing_mm: tuple[float, float] | None = None
    r_wave_times_ms: tuple[float, ...] = ()
    heart_rate_bpm: float | None = None
    photometric_interpretation: str = ""
    body_part: str = ""
    exam: str = ""
    view_position: str = ""
    presentation_intent: str = ""
    lossy: bool = False
    lossy_ratio: tuple[float, ...] = ()
    lossy_method: tuple[str, ...] = ()
    series_number: int | None = None
    manufacturer: str = ""
    view_hint: str = ""

    @property
    def is_ultrasound(self) -> bool:
        """An ultrasound image or cine, the retired SOP classes included."""
        return self.sop_class_uid in _ULTRASOUND

    @property
    def is_radiograph(self) -> bool:
        """A CR or DX image."""
        return self.sop_class_uid in _RADIOGRAPH

    @property
    def is_ecg(self) -> bool:
        """A 12-lead, general or ambulatory ECG."""
        return self.sop_class_uid in _ECG

    @property
    def kind(self) -> Kind | None:
        """What the instance is decoded to when there is no :attr:`obstacle`."""
        if self.is_ecg:
            return "waveform"
        if self.is_radiograph:
            return "radiograph"
        if not self.is_ultrasound:
            return None
        if self.m_mode:
            return "strip"
        return "clip" if self.frames > 1 else "still"

    @property
    def obstacle(self) -> str:
        """Why the instance can't become a typed input, for people; empty when it can."""
        if self.transfer_syntax_uid in DEFLATED:
            return "deflated transfer syntax"
        if self.is_ecg:
            return "" if self.has_waveforms else "ECG without waveforms"
        if not (self.is_ultrasound or self.is_radiograph):
            return self._foreign()
        if not self.has_pixels:
            return "image without pixel data"
        if _VIDEO.fullmatch(self.transfer_syntax_uid):
            return "video transfer syntax"
        return self._radiograph_obstacle() if self.is_radiograph else self._ultrasound_obstacle()

    def _foreign(self) -> str:
        suffix = self.sop_class_uid.removeprefix(_STORAGE)
        if suffix != self.sop_class_uid:
            for pattern, words in _NEVER_DECODED:
                if re.fullmatch(pattern, suffix):
                    return words
        return f"not a cardiac input: {self.sop_class_name or 'private SOP class'}"

    def _radiograph_obstacle(self) -> str:
        if self.sop_class_uid == _FOR_PROCESSING or self.presentation_intent == "FOR PROCESSING":
            return "for-processing radiograph"
        if self.frames > 1:
            return "multi-frame radiograph"
        return "" if self.samples == 1 else "colour radiograph"

    def _ultrasound_obstacle(self) -> str:
        form = "clip" if self.frames > 1 else "still"
        if self.spectral:
            return "spectral Doppler"
        if self.m_mode:
            return self._m_mode_obstacle()
        if self.colour_doppler:
            return f"colour Doppler {form}"
        if self.volume:
            return "3D rendering"
        if form == "clip" and not self.frame_times_known:
            return "no frame time"
        return ""

    def _m_mode_obstacle(self) -> str:
        if self.colour_doppler:
            return "colour M-mode"
        strips = [region for region in self.regions if region.is_m_mode and region.valid]
        if not strips:
            return "M-mode without its region"
        if self.frames > 1:
            return "multi-frame M-mode"
        return "" if strips[0].delta_x_ms else "M-mode without a time scale"
