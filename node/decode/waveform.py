"""ECG waveform instances to a Recording in mV."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from models.inputs import Recording, Waveform
from node.decode.attributes import code_string, integer, items, number, text, value_of
from node.decode.leads import lead_name, meaning_contradicts
from node.decode.scratch import Scratch
from node.errors import BadObjectError

_MAX_GROUPS, _MAX_CHANNELS = 64, 128
_SAMPLING_HZ = (20.0, 100_000.0)
_DTYPES = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "nV": 1e-6, "V": 1e3}  # UCUM, PS3.16 CID 3082


class _WithheldError(Exception):
    """A multiplex group that can't be trusted; the message says why, for people."""


def decode_waveform(
    ds: Dataset, big_endian: bool, max_decoded_bytes: int, scratch: Scratch
) -> tuple[Recording, tuple[str, ...]]:
    """Decode all multiplex groups of an ECG (PS3.3 C.10.9).

    Parameters
    ----------
    ds
        The instance.
    big_endian
        Byte order of the data set.
    max_decoded_bytes
        What all groups may take together.
    scratch
        Where the samples go.

    Returns
    -------
    The recording, and what was left out and why, for people.

    Raises
    ------
    BadObjectError
        No group can be used.
    """
    groups: list[Waveform] = []
    notes: list[str] = []
    left_bytes = max_decoded_bytes
    for number_, item in enumerate(items(ds, "WaveformSequence")[:_MAX_GROUPS], start=1):
        try:
            group, said = _group(item, big_endian, left_bytes, scratch)
        except _WithheldError as reason:
            notes.append(f"multiplex group {number_} withheld: {reason}")
            continue
        groups.append(group)
        notes += [f"multiplex group {number_}: {words}" for words in said]
        left_bytes -= group.millivolts.nbytes
    if not groups:
        raise BadObjectError("; ".join(notes) or "an ECG without multiplex groups")
    return Recording(tuple(groups)), tuple(notes)


def _group(
    item: Dataset, big_endian: bool, max_bytes: int, scratch: Scratch
) -> tuple[Waveform, list[str]]:
    channels = items(item, "ChannelDefinitionSequence")
    count, samples = integer(item, "NumberOfWaveformChannels"), integer(
        item, "NumberOfWaveformSamples"
    )  # fmt: skip
    sampling_hz = number(item, "SamplingFrequency")
    if count is None or samples is None or samples < 1 or not 1 <= count <= _MAX_CHANNELS:
        raise _WithheldError("the number of channels or samples is missing or out of range")
    if len(channels) != count:
        raise _WithheldError(f"{count} channels announced, {len(channels)} defined")
    if sampling_hz is None or not _SAMPLING_HZ[0] <= sampling_hz <= _SAMPLING_HZ[1]:
        raise _WithheldError("the sampling frequency is missing or not plausible")
    if count * samples * 4 > max_bytes:
        raise _WithheldError("it is larger than the limit")
    raw = _raw(item, count, samples, big_endian)
    padding = _padding(item, raw.dtype)
    kept, notes = _kept_channels(channels)
    millivolts = scratch.allocate((len(kept), samples), np.float32)
    for row, (index, scale, offset) in enumerate(kept.values()):
        column = raw[:, index]
        millivolts[row] = column * scale + offset
        if padding is not None and (column == padding).any():
            millivolts[row, column == padding] = 0.0
            notes.append(f"padding in lead {list(kept)[row]} is set to 0 mV")
    label = text(item, "MultiplexGroupLabel")
    return Waveform(millivolts, tuple(kept), sampling_hz, label[:64]), notes


def _raw(item: Dataset, count: int, samples: int, big_endian: bool) -> npt.NDArray[Any]:
    key = (
        integer(item, "WaveformBitsAllocated") or 0,
        code_string(item, "WaveformSampleInterpretation"),
    )
    if key not in _DTYPES:
        raise _WithheldError("its sample interpretation is not decoded with its bits allocated")
    dtype = np.dtype(_DTYPES[key]).newbyteorder(">" if big_endian else "<")
    data = value_of(item, "WaveformData")
    expected = count * samples * dtype.itemsize
    # A pad byte makes the length even (PS3.5 section 7.1).
    if not isinstance(data, bytes) or len(data) not in (expected, expected + expected % 2):
        held = len(data) if isinstance(data, bytes) else 0
        raise _WithheldError(f"it holds {held} bytes, {count} x {samples} samples need {expected}")
    return np.frombuffer(data, dtype, count * samples).reshape(samples, count)


def _padding(item: Dataset, dtype: np.dtype[Any]) -> int | None:
    value = value_of(item, "WaveformPaddingValue")
    if isinstance(value, bytes) and len(value) >= dtype.itemsize:
        return int(np.frombuffer(value[: dtype.itemsize], dtype)[0])
    return None


def _kept_channels(
    channels: list[Dataset],
) -> tuple[dict[str, tuple[int, float, float]], list[str]]:
    """Return lead → (channel index, mV per stored unit, mV at stored 0), and notes."""
    kept: dict[str, tuple[int, float, float]] = {}
    notes: list[str] = []
    for index, channel in enumerate(channels):
        name = lead_name(channel)
        if not name:
            notes.append(f"channel {index + 1} left out: its source is not a known lead")
            continue
        if name in kept:
            raise _WithheldError(f"lead {name} is there twice")
        if meaning_contradicts(channel, name):
            notes.append(f"the code of channel {index + 1} says {name}, its meaning another lead")
        kept[name] = (index, *_scale(channel, name))
    if not kept:
        raise _WithheldError("none of its channels is a known lead")
    return kept, notes


def _scale(channel: Dataset, name: str) -> tuple[float, float]:
    # PS3.3 C.10.9.1.4.1: value = sample x sensitivity x correction factor + baseline, in units.
    units = items(channel, "ChannelSensitivityUnitsSequence")
    factor = _MILLIVOLTS.get(text(units[0], "CodeValue")) if units else None
    sensitivity = number(channel, "ChannelSensitivity")
    if factor is None:
        raise _WithheldError(f"lead {name} has no unit of voltage")
    if not sensitivity:
        raise _WithheldError(f"lead {name} has no sensitivity")
    correction = number(channel, "ChannelSensitivityCorrectionFactor")
    baseline = number(channel, "ChannelBaseline")
    scale = sensitivity * (1.0 if correction is None else correction) * factor
    if scale == 0.0 or not math.isfinite(scale):
        raise _WithheldError(f"lead {name} has a correction factor of 0")
    return scale, (baseline or 0.0) * factor
