"""A waveform that looks like an ECG's, for the sizes of it."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_RATE_HZ, _SAMPLES = 500, 5000


def waveform_group(rng: np.random.Generator) -> Dataset:
    """One multiplex group of twelve leads and ten seconds (PS3.3 C.10.9.1)."""
    time_s = np.arange(_SAMPLES) / _RATE_HZ
    phase = (time_s * rng.uniform(0.9, 1.7)) % 1.0
    beat = np.exp(-(((phase - 0.4) / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.65) / 0.05) ** 2))
    leads = beat[:, None] * rng.uniform(-0.6, 1.4, len(LEADS)) + rng.normal(
        0.0, 0.012, (_SAMPLES, len(LEADS))
    )
    group = Dataset()
    group.MultiplexGroupTimeOffset, group.WaveformOriginality = 0, "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(LEADS), _SAMPLES
    group.SamplingFrequency, group.MultiplexGroupLabel = _RATE_HZ, "RHYTHM"
    group.ChannelDefinitionSequence = [_channel(at, lead) for at, lead in enumerate(LEADS, 1)]
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.WaveformData = np.clip(leads * 200.0, -32000, 32000).astype("<i2").tobytes()
    group["WaveformData"].VR = "OW"
    return group


def _channel(number: int, lead: str) -> Dataset:
    channel = Dataset()
    channel.ChannelSourceSequence = [_code(f"2:{number}", "MDC", f"Lead {lead}")]
    channel.ChannelSensitivity = 5
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = 1, 0
    channel.ChannelTimeSkew, channel.WaveformBitsStored = 0, 16
    channel.FilterLowFrequency, channel.FilterHighFrequency = 0.05, 150
    return channel


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
