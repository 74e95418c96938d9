"""Frame times are read from the object, from the best source it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.decode.timing import frame_times, heart_rate_bpm, r_wave_times_ms


def _ds(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("attributes", "times", "source"),
    [
        ({"FrameTime": "25"}, [0, 25, 50], "FrameTime"),
        ({"FrameTimeVector": ["0", "20", "30"]}, [0, 20, 50], "FrameTimeVector"),
        # The first increment should be 0 and is not.
        ({"FrameTimeVector": ["33", "20", "30"]}, [0, 20, 50], "FrameTimeVector"),
        ({"FrameTimeVector": ["20", "30"]}, [0, 20, 50], "FrameTimeVector"),
        (
            {
                "FrameTime": "25",
                "FrameTimeVector": ["0", "20", "30"],
                "FrameIncrementPointer": 0x00181065,
            },
            [0, 20, 50],
            "FrameTimeVector",
        ),
        ({"FrameTime": "0", "CineRate": "50"}, [0, 20, 40], "CineRate"),
        ({"FrameTime": "-5", "CineRate": "50"}, [0, 20, 40], "CineRate"),
        ({"FrameTimeVector": ["0", "20", "0"], "CineRate": "50"}, [0, 20, 40], "CineRate"),
        ({"RecommendedDisplayFrameRate": "40"}, [0, 25, 50], "RecommendedDisplayFrameRate"),
        # 1000 ms / 20 per s = 50 ms
        ({"CineRate": "20", "RecommendedDisplayFrameRate": "40"}, [0, 50, 100], "CineRate"),
    ],
)
def test_sources(attributes: dict[str, Any], times: list[float], source: str) -> None:
    found, where = frame_times(_ds(**attributes), 3)
    assert found is not None
    np.testing.assert_allclose(found, times)
    assert where == source


@pytest.mark.parametrize(
    "attributes",
    [{}, {"FrameTime": "0"}, {"FrameTime": ""}, {"FrameTimeVector": ["0"] * 7}, {"CineRate": "0"}],
)
def test_nothing_is_assumed(attributes: dict[str, Any]) -> None:
    assert frame_times(_ds(**attributes), 3) == (None, "no frame time")


def test_heart_beats() -> None:
    assert heart_rate_bpm(_ds(HeartRate="144")) == 144.0
    assert heart_rate_bpm(_ds(HeartRate="0")) is None
    assert heart_rate_bpm(_ds()) is None
    assert r_wave_times_ms(_ds(RWaveTimeVector=[10.0, 900.0])) == (10.0, 900.0)
    assert r_wave_times_ms(_ds(RWaveTimeVector=[900.0, 10.0])) == ()
    assert r_wave_times_ms(_ds()) == ()
