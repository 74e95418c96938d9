"""The real ECG among the samples: decoded, accepted, prepared and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from models.ecg_input import PreparedEcg, choose_group, prepare
from models.ecg_measure import measure
from models.ecg_quality import ecg_problem
from models.inputs import Recording
from node.decode.scratch import Scratch
from node.decode.waveform import decode_waveform

_SAMPLE = Path(__file__).parents[4] / "sample_dicom" / "ecg12_mortara_1000hz.dcm"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    scratch = Scratch(tmp_path_factory.mktemp("ecg") / "scratch")
    try:
        decoded, _ = decode_waveform(dcmread(_SAMPLE), False, 8 << 20, scratch)
        # copies: the scratch file goes
        groups = [replace(g, millivolts=np.array(g.millivolts)) for g in decoded.groups]
        return Recording(tuple(groups))
    finally:
        scratch.close()


@pytest.fixture(scope="module")
def ecg(recording: Recording) -> PreparedEcg:
    return prepare(recording)


def test_it_passes_the_gates(recording: Recording) -> None:
    assert ecg_problem(recording) is None
    assert choose_group(recording).label == "RHYTHM"


def test_a_thousand_samples_a_second_become_five_hundred(ecg: PreparedEcg) -> None:
    assert ecg.signal.shape == (12, 5000)
    assert ecg.windows.shape == (9, 12, 1000)
    np.testing.assert_allclose(np.median(ecg.signal, axis=1), 0, atol=1e-6)
    # Einthoven's equation holds after filtering, too
    limb = ecg.signal[:3] - ecg.signal[:3].mean(axis=1, keepdims=True)
    assert np.abs(limb[0] + limb[2] - limb[1]).max() < 0.02


def test_it_measures_as_its_own_annotations_say(ecg: PreparedEcg) -> None:
    said = {
        str(item.ConceptNameCodeSequence[0].CodeMeaning): float(item.NumericValue)
        for item in dcmread(_SAMPLE).WaveformAnnotationSequence
        if "NumericValue" in item and "ConceptNameCodeSequence" in item
    }
    found = measure(ecg.signal)
    assert found is not None
    assert 60_000 / found.heart_rate_bpm == pytest.approx(said["RR Interval"], rel=0.05)
    assert found.qrs_ms == pytest.approx(said["QRS Duration"], abs=15)
