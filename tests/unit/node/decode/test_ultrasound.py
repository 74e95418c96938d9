"""Ultrasound in every encoding comes out as the picture that went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from models.inputs import Box, Clip, Still, Strip
from node.decode.child import examine
from node.decode.examined import Examined
from node.decode.scratch import Scratch
from node.errors import BadObjectError
from tests import build_instances as build

_LOSSLESS = (
    build.EXPLICIT, build.IMPLICIT, build.BIG, build.RLE, build.LOSSLESS, build.SV1, build.LS,
    build.J2K_LOSSLESS,
)  # fmt: skip


def _examine(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> Examined:
    path = build.save(ds, tmp_path / "instance.dcm", syntax)
    scratch = Scratch(tmp_path / "scratch")
    try:
        return examine(path, scratch, 64 << 20)
    finally:
        scratch.close()


def _still(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> Still:
    decoded = _examine(ds, tmp_path, syntax).decoded
    assert decoded is not None
    assert isinstance(decoded.input, Still)
    return decoded.input


def _clip(ds: Dataset, tmp_path: Path, syntax: str = build.EXPLICIT) -> Clip:
    decoded = _examine(ds, tmp_path, syntax).decoded
    assert decoded is not None
    assert isinstance(decoded.input, Clip)
    return decoded.input


@pytest.mark.parametrize("syntax", _LOSSLESS)
@pytest.mark.parametrize("frames", [1, 3])
def test_grey_is_bit_exact(syntax: str, frames: int, tmp_path: Path) -> None:
    pixels = build.grey_frames(frames)
    ds = build.echo(pixels, syntax)
    if frames == 1:
        np.testing.assert_array_equal(_still(ds, tmp_path, syntax).frame, pixels[0])
    else:
        clip = _clip(ds, tmp_path, syntax)
        np.testing.assert_array_equal(clip.frames, pixels)
        np.testing.assert_array_equal(clip.colour, np.repeat(pixels[..., np.newaxis], 3, axis=3))


@pytest.mark.parametrize("syntax", _LOSSLESS)
def test_rgb_is_bit_exact(syntax: str, tmp_path: Path) -> None:
    pixels = build.colour_frames(3)
    photometric = "YBR_RCT" if syntax == build.J2K_LOSSLESS else "RGB"
    clip = _clip(build.echo(pixels, syntax, photometric), tmp_path, syntax)
    np.testing.assert_array_equal(clip.colour, pixels)
    luminance = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(clip.frames - luminance).max() <= 1.0


@pytest.mark.parametrize("rows", [40, 41])
@pytest.mark.parametrize("syntax", build.NATIVE)
def test_planes_and_odd_sizes(syntax: str, rows: int, tmp_path: Path) -> None:
    pixels = build.colour_frames(3, rows, 37)
    clip = _clip(build.echo(pixels, syntax, "RGB", planar=1), tmp_path, syntax)
    np.testing.assert_array_equal(clip.colour, pixels)


def test_eight_bits_in_big_endian_words(tmp_path: Path) -> None:
    pixels = build.grey_frames(3, 9, 7)  # frames of odd length: words cross their borders
    ds = build.echo(pixels, build.BIG)
    padded = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.PixelData = padded
    ds["PixelData"].VR = "OW"
    np.testing.assert_array_equal(_clip(ds, tmp_path, build.BIG).frames, pixels)


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [
        (build.BASELINE, "YBR_FULL_422"),
        (build.BASELINE, "YBR_FULL"),
        (build.BASELINE, "RGB"),  # a lie: the codestream is JFIF, so YCbCr
        (build.J2K, "YBR_ICT"),
    ],
)
def test_lossy_colour_is_close(syntax: str, photometric: str, tmp_path: Path) -> None:
    pixels = build.colour_frames(3)
    clip = _clip(build.echo(pixels, syntax, photometric), tmp_path, syntax)
    assert np.abs(clip.colour.astype(int) - pixels).mean() < 2.0


def test_lossy_grey_is_close(tmp_path: Path) -> None:
    pixels = (np.mgrid[:1, :40, :48].sum(axis=0) * 2).astype(np.uint8)
    for syntax in (build.BASELINE, build.J2K):
        still = _still(build.echo(pixels, syntax), tmp_path, syntax)
        assert np.abs(still.frame.astype(int) - pixels[0]).mean() < 2.0
        (tmp_path / "scratch").unlink()


def test_rgb_components_without_a_marker(tmp_path: Path) -> None:
    import imagecodecs
    from pydicom.encaps import encapsulate

    pixels = build.colour_frames()
    ds = build.echo(pixels, build.BASELINE, "RGB")
    frame = imagecodecs.jpeg8_encode(
        pixels[0], 98, colorspace="RGB", outcolorspace="RGB", subsampling="444"
    )
    # Take the Adobe marker away and number the components as in YCbCr.
    start = frame.index(b"\xff\xee")
    bare = bytearray(frame[:start] + frame[start + 2 + frame[start + 3] :])
    for marker, step, offset in ((b"\xff\xc0", 3, 10), (b"\xff\xda", 2, 5)):
        at = bytes(bare).index(marker)
        for number in range(3):
            bare[at + offset + step * number] = number + 1
    ds.PixelData = encapsulate([bytes(bare)])
    still = _still(ds, tmp_path, build.BASELINE)
    assert np.abs(still.colour.astype(int) - pixels[0]).mean() < 2.0


def test_ybr_full_native_and_rle(tmp_path: Path) -> None:
    grey = build.grey_frames()[0]
    stored = np.stack([grey, np.full_like(grey, 128), np.full_like(grey, 128)], axis=-1)[None]
    for syntax in (build.EXPLICIT, build.RLE):
        still = _still(build.echo(stored, syntax, "YBR_FULL"), tmp_path, syntax)
        np.testing.assert_array_equal(still.frame, grey)
        (tmp_path / "scratch").unlink()


@pytest.mark.parametrize(
    ("photometric", "black", "white"), [("YBR_FULL_422", 0, 255), ("YBR_PARTIAL_422", 16, 235)]
)
def test_native_422(photometric: str, black: int, white: int, tmp_path: Path) -> None:
    ds = build.echo(build.colour_frames(1, 4, 6), photometric=photometric)
    luma = np.full((4, 6), black, np.uint8)
    luma[:, ::2] = white
    quads = np.full((4, 3, 4), 128, np.uint8)
    quads[..., 0], quads[..., 1] = luma[:, 0::2], luma[:, 1::2]
    ds.PixelData = quads.tobytes()
    still = _still(ds, tmp_path)
    np.testing.assert_array_equal(still.frame[:, ::2], 255)
    np.testing.assert_array_equal(still.frame[:, 1::2], 0)


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_palette(entry_bits: int, tmp_path: Path) -> None:
    indices = build.grey_frames() // 4  # 0 to 63; the table ends at 31
    ds = build.echo(indices, photometric="PALETTE COLOR")
    table = np.arange(32, dtype=np.uint16) * 7
    for name, shift in (("Red", 0), ("Green", 1), ("Blue", 2)):
        values = table + shift
        stored = (values << 8).astype("<u2") if entry_bits == 16 else values.astype(np.uint8)
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [32, 0, entry_bits])
        setattr(ds, f"{name}PaletteColorLookupTableData", stored.tobytes())
    expected = np.minimum(indices[0], 31).astype(int)[..., None] * 7 + np.arange(3)
    np.testing.assert_array_equal(_still(ds, tmp_path).colour, expected)


def test_palette_is_missing(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(), photometric="PALETTE COLOR")
    with pytest.raises(BadObjectError, match="without its palette"):
        _examine(ds, tmp_path)


def test_monochrome1_is_turned_over(tmp_path: Path) -> None:
    pixels = build.grey_frames()
    still = _still(build.echo(pixels, photometric="MONOCHROME1"), tmp_path)
    np.testing.assert_array_equal(still.frame, 255 - pixels[0])


def test_twelve_bits_become_eight(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames().astype(np.uint16) << 4)
    ds.BitsStored, ds.HighBit = 12, 11
    np.testing.assert_array_equal(_still(ds, tmp_path).frame, build.grey_frames()[0])


def test_bits_above_the_stored_ones_are_dropped(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames().astype(np.uint16) << 4 | 0xF000)  # old overlay planes
    ds.BitsStored, ds.HighBit = 12, 11
    np.testing.assert_array_equal(_still(ds, tmp_path).frame, build.grey_frames()[0])


def test_clip_has_times_and_scale(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(3), HeartRate=64, RWaveTimeVector=[0.0, 30.0])
    ds.SequenceOfUltrasoundRegions = Sequence([build.region((2, 4, 45, 37))])
    clip = _clip(ds, tmp_path)
    np.testing.assert_allclose(clip.frame_times_ms, [0, 20, 40])
    assert clip.duration_ms == pytest.approx(60.0)
    assert clip.region == Box(2, 4, 46, 38)
    assert clip.pixel_spacing_mm == (1.0, 1.0)
    assert clip.heart_rate_bpm == 64.0
    assert clip.r_wave_times_ms == (0.0, 30.0)


def test_no_frame_time_is_assumed(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(3), FrameTime=None)
    examined = _examine(ds, tmp_path)
    assert examined.decoded is None
    assert examined.instance.obstacle == "no frame time"


def test_ecg_strip_is_masked(tmp_path: Path) -> None:
    ds = build.echo(build.grey_frames(2) | 1)
    ds.SequenceOfUltrasoundRegions = Sequence(
        [build.region((0, 0, 47, 29)), build.region((0, 30, 47, 39), 4, 10)]
    )
    clip = _clip(ds, tmp_path)
    assert clip.ecg_strip == Box(0, 30, 48, 40)
    assert not clip.frames[:, 30:].any()
    assert clip.frames[:, :30].all()
    assert clip.colour[:, 30:].all()  # what people see stays as it is


def test_m_mode_becomes_a_strip(tmp_path: Path) -> None:
    pixels = build.grey_frames()
    ds = build.echo(pixels, ImageType=["ORIGINAL", "PRIMARY", "TTE", "0003"])
    ds.SequenceOfUltrasoundRegions = Sequence(
        [build.region((0, 0, 47, 15)), build.region((4, 20, 43, 35), 2, 1, delta=0.05)]
    )
    examined = _examine(ds, tmp_path)
    assert examined.decoded is not None
    strip = examined.decoded.input
    assert isinstance(strip, Strip)
    np.testing.assert_array_equal(strip.image, pixels[0, 20:36, 4:44])
    assert strip.time_step_ms == pytest.approx(50.0)
    assert strip.depth_step_mm == pytest.approx(0.5)


def test_colour_doppler_only_in_the_pixels(tmp_path: Path) -> None:
    pixels = build.colour_frames(6)
    pixels[3, 10:24, 10:24] = 0
    pixels[3, 10:24, 10:24, 0] = np.arange(14) * 9 + 120  # one frame of flow
    examined = _examine(build.echo(pixels, photometric="RGB"), tmp_path)
    assert examined.decoded is None
    assert examined.instance.obstacle == "colour Doppler clip"
    assert any("colour Doppler seen" in note for note in examined.notes)


def test_a_coloured_ecg_line_is_not_colour_doppler(tmp_path: Path) -> None:
    pixels = build.colour_frames(2)
    pixels[:, 30, :] = (0, 255, 0)
    pixels[:, :, 5] = (255, 255, 0)
    _clip(build.echo(pixels, photometric="RGB"), tmp_path)
