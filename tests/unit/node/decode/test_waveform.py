"""ECGs come out in mV, and what can't be trusted is withheld."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.waveforms.numpy_handler import multiplex_array

from models.inputs import Recording
from node.decode.scratch import Scratch
from node.decode.waveform import decode_waveform
from node.errors import BadObjectError
from tests.build_instances import ecg, group, lead

_SAMPLE = Path(__file__).parents[4] / "sample_dicom" / "ecg12_mortara_1000hz.dcm"
_SAMPLES = np.array([[0, 100], [10, -200], [20, 300]], np.int16)  # (samples, channels)


def _decode(ds: Dataset, tmp_path: Path, limit: int = 1 << 20) -> tuple[Recording, tuple[str, ...]]:
    scratch = Scratch(tmp_path / "scratch")
    try:
        return decode_waveform(ds, False, limit, scratch)
    finally:
        scratch.close()


def test_the_real_one_as_pydicom_computes_it(tmp_path: Path) -> None:
    ds = dcmread(_SAMPLE)
    recording, notes = _decode(ds, tmp_path, 8 << 20)
    assert notes == ()
    assert [g.label for g in recording.groups] == ["RHYTHM", "MEDIAN BEAT"]
    for index, found in enumerate(recording.groups):
        microvolts = multiplex_array(ds, index, as_raw=False)
        np.testing.assert_allclose(found.millivolts, microvolts.T / 1000.0, atol=1e-6)
        assert found.sampling_hz == 1000.0
    assert recording.groups[0].leads == (
        "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
    )  # fmt: skip
    assert recording.groups[0].millivolts.dtype == np.float32


@pytest.mark.parametrize(
    ("unit", "millivolts"), [("uV", 0.5), ("mV", 500.0), ("nV", 0.0005), ("V", 500000.0)]
)
def test_units(unit: str, millivolts: float, tmp_path: Path) -> None:
    ds = ecg(group(_SAMPLES, [lead("2:1", unit=unit), lead("2:2", unit=unit)]))
    recording, _ = _decode(ds, tmp_path)
    # 100 stored units x sensitivity 5
    assert recording.groups[0].millivolts[1, 0] == pytest.approx(millivolts)


def test_baseline_and_correction(tmp_path: Path) -> None:
    channel = lead("2:1")
    channel.ChannelBaseline, channel.ChannelSensitivityCorrectionFactor = "50", "2"
    recording, _ = _decode(ecg(group(_SAMPLES[:, :1], [channel])), tmp_path)
    # (10 x 5 x 2 + 50) uV
    assert recording.groups[0].millivolts[0, 1] == pytest.approx(0.15)


def test_groups_keep_their_own_rates(tmp_path: Path) -> None:
    first = group(_SAMPLES, [lead("2:1"), lead("2:2")], hz="500")
    second = group(_SAMPLES[:2], [lead("5.6.3-9-61", "SCPECG"), lead("2:62")], hz="1000")
    recording, _ = _decode(ecg(first, second), tmp_path)
    assert [g.sampling_hz for g in recording.groups] == [500.0, 1000.0]
    assert recording.groups[1].leads == ("III", "aVR")


def test_other_channels_are_left_out(tmp_path: Path) -> None:
    recording, notes = _decode(ecg(group(_SAMPLES, [lead("2:1"), lead("9:99")])), tmp_path)
    assert recording.groups[0].leads == ("I",)
    assert notes == ("multiplex group 1: channel 2 left out: its source is not a known lead",)


def test_padding_is_zero(tmp_path: Path) -> None:
    item = group(_SAMPLES, [lead("2:1"), lead("2:2")])
    item.WaveformPaddingValue = np.int16(300).tobytes()
    item["WaveformPaddingValue"].VR = "OW"
    recording, notes = _decode(ecg(item), tmp_path)
    np.testing.assert_allclose(recording.groups[0].millivolts[1], [0.5, -1.0, 0.0])
    assert "padding" in notes[0]


@pytest.mark.parametrize("meaning", ["Lead II", "Lead V2 (chest)"])
def test_the_code_decides_over_its_meaning(meaning: str, tmp_path: Path) -> None:
    channel = lead("2:1")
    channel.ChannelSourceSequence[0].CodeMeaning = meaning
    recording, notes = _decode(ecg(group(_SAMPLES[:, :1], [channel])), tmp_path)
    assert recording.groups[0].leads == ("I",)
    assert "its meaning another lead" in notes[0]


def _with(**attributes: Any) -> Dataset:
    item = group(_SAMPLES, [lead("2:1"), lead("2:2")])
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (_with(NumberOfWaveformSamples=4), "it holds 12 bytes, 2 x 4 samples need 16"),
        (_with(NumberOfWaveformSamples=0), "missing or out of range"),
        (_with(NumberOfWaveformSamples=4_000_000), "larger than the limit"),
        (_with(NumberOfWaveformChannels=3), "3 channels announced, 2 defined"),
        (_with(SamplingFrequency="0"), "sampling frequency"),
        (_with(SamplingFrequency="1e9"), "sampling frequency"),
        (_with(WaveformSampleInterpretation="MB", WaveformBitsAllocated=8), "not decoded"),
        (_with(WaveformBitsAllocated=8), "not decoded"),
        (group(_SAMPLES, [lead("2:1"), lead("2:1")]), "lead I is there twice"),
        (group(_SAMPLES, [lead("2:1"), lead("2:2", sensitivity="0")]), "no sensitivity"),
        (group(_SAMPLES, [lead("2:1"), lead("2:2", unit="mmHg")]), "no unit of voltage"),
        (group(_SAMPLES, [lead("9:1"), lead("9:2")]), "none of its channels"),
    ],
    ids=range(12),
)
def test_withheld(item: Dataset, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BadObjectError, match="multiplex group 1 withheld") as caught:
        _decode(ecg(item), tmp_path)
    assert reason in str(caught.value)


def test_a_bad_group_does_not_cost_the_good_one(tmp_path: Path) -> None:
    good = group(_SAMPLES, [lead("2:1"), lead("2:2")])
    recording, notes = _decode(ecg(_with(SamplingFrequency="0"), good), tmp_path)
    assert len(recording.groups) == 1
    assert notes[0].startswith("multiplex group 1 withheld")
