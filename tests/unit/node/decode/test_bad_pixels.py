"""Images that lie about themselves end in a reason, before anything large is allocated."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from node.decode.child import answer_to
from node.decode.limits import Limits
from tests import build_instances as build

_LIMITS = Limits(memory_bytes=1 << 30, cpu_s=10.0, decoded_bytes=8 << 20)


def _reason(ds: Dataset, tmp_path: Path, syntax: str) -> str:
    path = build.save(ds, tmp_path / "instance.dcm", syntax)
    answer = answer_to({"path": str(path), "scratch": str(tmp_path / "scratch")}, _LIMITS)
    assert set(answer) == {"bad"}, answer
    reason = str(answer["bad"])
    assert "secret" not in reason.lower()
    return reason


def _set(**attributes: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)

    return change


def _delete(keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(ds, keyword)


def _frames(*frames: bytes) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        ds.PixelData = encapsulate(list(frames))

    return change


def _j2k_claims_60000() -> bytes:
    frame = bytearray(build.encode_frame(build.grey_frames()[0], build.J2K_LOSSLESS))
    frame[8:16] = struct.pack(">II", 60000, 60000)
    frame[24:32] = struct.pack(">II", 60000, 60000)
    return bytes(frame)


_JPEG = build.encode_frame(build.grey_frames()[0], build.BASELINE)
_LARGER = build.encode_frame(build.grey_frames(1, 400, 480)[0], build.BASELINE)
_SIXTEEN = build.encode_frame(build.grey_frames()[0].astype(np.uint16) * 257, build.SV1)
_RLE_OUTSIDE = struct.pack("<16I", 1, 9999, *[0] * 14) + b"\0" * 64
_RLE_SHORT = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x02abc"

CASES = [
    (build.EXPLICIT, _set(Rows=0), "Rows is not between 1 and 65535"),
    (build.EXPLICIT, _delete("Columns"), "Columns is missing"),
    (build.EXPLICIT, _set(Rows=65535, Columns=65535), "would be larger than 8 MB"),
    (build.EXPLICIT, _set(NumberOfFrames=2, FrameTime="20"), "PixelData holds 1920 bytes"),
    (build.EXPLICIT, _set(NumberOfFrames=100000, FrameTime="20"), "would be larger"),
    (build.EXPLICIT, _set(BitsStored=12), "BitsStored is larger than BitsAllocated"),
    (build.EXPLICIT, _set(HighBit=3), "HighBit contradicts"),
    (build.EXPLICIT, _set(BitsAllocated=32), "only 8 and 16 are decoded"),
    (build.EXPLICIT, _set(SamplesPerPixel=3), "SamplesPerPixel contradicts"),
    (build.EXPLICIT, _set(PhotometricInterpretation="CMYK"), "photometric interpretation"),
    (build.EXPLICIT, _set(PixelData=b"\0" * 100), "PixelData holds 100 bytes"),
    (build.BASELINE, _frames(b"\x12\x34" * 50), "not a JPEG codestream"),
    (build.BASELINE, _frames(_JPEG[:40]), "cut off in its header"),
    (build.BASELINE, _frames(_JPEG[: len(_JPEG) // 2]), "the pixel data can't be decoded"),
    (build.BASELINE, _frames(_LARGER), "400 x 480 in its codestream, but 40 x 48 in the header"),
    (build.BASELINE, _set(Rows=80, Columns=24), "but 80 x 24 in the header"),
    (build.SV1, _frames(_SIXTEEN), "16 bits, the header allocates 8"),
    (build.J2K_LOSSLESS, _frames(_j2k_claims_60000()), "60000 x 60000 in its codestream"),
    (build.J2K_LOSSLESS, _frames(b"\0" * 60), "not a JPEG 2000 codestream"),
    (build.J2K_LOSSLESS, _frames(b"\xff\x4f\xff\x51\0"), "cut off"),
    (build.RLE, _frames(_RLE_OUTSIDE), "offsets of an RLE frame"),
    (build.RLE, _frames(_RLE_SHORT), "the pixel data can't be decoded"),
    (build.RLE, _frames(b"\0" * 10), "shorter than its header"),
    (build.RLE, _frames(struct.pack("<16I", 3, 64, 70, 80, *[0] * 12) + b"\0" * 64), "one segment"),
]


@pytest.mark.parametrize(("syntax", "change", "reason"), CASES, ids=range(len(CASES)))
def test_a_lie_has_its_reason(
    syntax: str, change: Callable[[Dataset], None], reason: str, tmp_path: Path
) -> None:
    ds = build.echo(build.grey_frames(), syntax)
    change(ds)
    assert reason in _reason(ds, tmp_path, syntax)


def test_fewer_frames_than_announced(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(3), build.BASELINE)
    ds.NumberOfFrames = 5
    assert "5 frames announced, 3 found" in _reason(ds, tmp_path, build.BASELINE)


@pytest.mark.parametrize("syntax", [build.EXPLICIT, build.BASELINE, build.RLE])
def test_more_frames_than_announced(syntax: str, tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(5), syntax)
    ds.NumberOfFrames = 3
    reason = _reason(ds, tmp_path, syntax)
    assert reason.startswith("3 frames announced")
    assert reason.endswith("more found" if syntax != build.EXPLICIT else "holds more")


def test_an_unknown_transfer_syntax(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(), build.BASELINE)
    assert "transfer syntax is not decoded" in _reason(ds, tmp_path, "1.2.840.10008.1.2.4.52")


def test_nothing_but_the_header_of_part_10(tmp_path: Path) -> None:
    path = tmp_path / "instance.dcm"
    for content in (b"", b"\0" * 128 + b"DICM", b"GET / HTTP/1.1\r\n\r\n" * 20):
        path.write_bytes(content)
        answer = answer_to({"path": str(path), "scratch": str(tmp_path / "scratch")}, _LIMITS)
        assert set(answer) == {"bad"}


@pytest.mark.parametrize("part", range(1, 16))
def test_cut_off_anywhere(part: int, tmp_path: Path) -> None:
    path = build.save(build.echo(build.grey_frames(3), build.SV1), tmp_path / "a.dcm", build.SV1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * part // 16])
    answer = answer_to({"path": str(path), "scratch": str(tmp_path / "scratch")}, _LIMITS)
    # Either a reason, or facts that say what is missing; never pixels.
    assert "bad" in answer or "inputs" not in answer
