"""Answers of children: what comes back is what went out, and nonsense is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.inputs import Box, Clip, Decoded, Recording, Waveform
from node.decode.answer import decode, encode, to_bytes
from node.decode.examined import Examined
from node.decode.scratch import MappedScratch, Scratch
from node.facts import InstanceFacts, UltrasoundRegion

_FACTS = InstanceFacts(
    "1.2",
    "1.2.840.10008.1.2",
    regions=(UltrasoundRegion(Box(0, 0, 4, 4), 1, 1, 0.5, 0.5),),
    r_wave_times_ms=(1.0, 2.0),
    pixel_spacing_mm=(0.5, 0.5),
)


def _through(examined: Examined, tmp_path: Path) -> Examined:
    scratch = Scratch(tmp_path / "scratch")
    answer = json.loads(to_bytes(encode(examined, scratch)))
    scratch.close()
    return decode(answer, MappedScratch(tmp_path / "scratch"))


def test_a_clip(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    clip = Clip(
        frames=rng.integers(0, 255, (2, 4, 4), np.uint8),
        colour=rng.integers(0, 255, (2, 4, 4, 3), np.uint8),
        frame_times_ms=np.array([0.0, 20.0]),
        pixel_spacing_mm=(0.5, 0.5),
        region=Box(0, 0, 4, 4),
        r_wave_times_ms=(3.0,),
    )
    found = _through(Examined(_FACTS, Decoded(clip, ("a",)), ("b", "a")), tmp_path)
    assert found.instance == _FACTS
    assert found.notes == ("b", "a")
    assert found.decoded is not None
    assert found.decoded.notes == ("a",)
    back = found.decoded.input
    assert isinstance(back, Clip)
    for name in ("frames", "colour", "frame_times_ms"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))
    assert (back.region, back.r_wave_times_ms, back.ecg_strip) == (clip.region, (3.0,), None)
    assert not (tmp_path / "scratch").exists()


def test_a_recording(tmp_path: Path) -> None:
    groups = tuple(
        Waveform(np.full((2, n), n, np.float32), ("I", "II"), 100.0 * n, f"G{n}") for n in (3, 5)
    )
    found = _through(Examined(_FACTS, Decoded(Recording(groups))), tmp_path)
    assert found.decoded is not None
    assert isinstance(found.decoded.input, Recording)
    for back, group in zip(found.decoded.input.groups, groups, strict=True):
        np.testing.assert_array_equal(back.millivolts, group.millivolts)
        assert (back.leads, back.sampling_hz, back.label) == (
            group.leads, group.sampling_hz, group.label,
        )  # fmt: skip


def test_facts_alone_need_no_scratch(tmp_path: Path) -> None:
    assert _through(Examined(_FACTS), tmp_path) == Examined(_FACTS)


def _strip(image: list[Any]) -> dict[str, Any]:
    return {"type": "Strip", "image": image, "time_step_ms": 1.0, "depth_step_mm": None}


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {}},
        {"notes": 3},
        {"inputs": []},
        {"inputs": [{"type": "Popen"}]},
        {"inputs": [_strip([0, [1 << 40], "uint8"])]},
        {"inputs": [_strip([-8, [4], "uint8"])]},
        {"inputs": [_strip([0, [-4], "uint8"])]},
        {"inputs": [_strip([0, [4], "object"])]},
    ],
    ids=range(8),
)
def test_nonsense(change: dict[str, Any], tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    answer = json.loads(to_bytes(encode(Examined(_FACTS), scratch)))
    scratch.allocate((8,), np.uint8)
    scratch.close()
    answer |= {"recording": False, "decoding_notes": []} | change
    with pytest.raises(ValueError, match="not"):
        decode(answer, MappedScratch(tmp_path / "scratch"))
