"""The decoder children for real: samples in, deaths survived, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.inputs import Clip, Recording, Still
from node.arrival.routing import route
from node.decode.pool import DecodePool
from node.errors import BadObjectError, DecoderDiedError, StorageFailedError
from tests import build_instances as build

_ROOT = Path(__file__).parents[2]
_SAMPLES, _OTHERS = _ROOT / "sample_dicom", _ROOT / "tests" / "data"
_CLIP = _SAMPLES / "echo_a4c_sonosite_30f_small.dcm"
_LONG_CLIP = _SAMPLES / "echo_a4c_sonosite_120f.dcm"


def _pool(tmp_path: Path, children: int = 1, **limits: float) -> DecodePool:
    return DecodePool(
        children,
        memory_mb=int(limits.get("memory_mb", 2048)),
        timeout_s=limits.get("timeout_s", 60.0),
        max_decoded_mb=int(limits.get("max_decoded_mb", 1024)),
        scratch=tmp_path / "scratch",
    )


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecodePool]:
    pool = _pool(tmp_path_factory.mktemp("pool"), children=2)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        (_LONG_CLIP, "clip", ""),
        (_CLIP, "clip", ""),
        (_SAMPLES / "echo_apical_agilent_10f.dcm", "clip", ""),
        (_SAMPLES / "echo_colour_acuson_fragmented.dcm", None, "colour Doppler clip"),
        (_SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm", "still", ""),
        (_SAMPLES / "echo_tee_colour_still_pl.dcm", None, "colour Doppler still"),
        (_SAMPLES / "echo_tee_colour_still_px.dcm", None, "colour Doppler still"),
        (_SAMPLES / "cxr_pa_philips_j2k.dcm", "radiograph", ""),
        (_SAMPLES / "ecg12_mortara_1000hz.dcm", "waveform", ""),
        (_OTHERS / "us_lymph_node_rgb.dcm", None, "colour Doppler still"),
        (_OTHERS / "us_obstetric_palette.dcm", None, "not cardiac: obstetric ultrasound"),
        (_OTHERS / "us_probe_in_air.dcm", None, "not cardiac: small-parts ultrasound"),
        (_OTHERS / "dx_animal_thorax.dcm", "radiograph", ""),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else None,
)
def test_real_instances(pool: DecodePool, path: Path, kind: str | None, reason: str) -> None:
    examined = pool.decode(path)
    routes = route(examined.instance)
    assert (routes.kind, routes.reason) == (kind, reason)
    if examined.instance.obstacle:
        assert examined.decoded is None
    else:
        assert examined.decoded is not None


def test_calibration_of_real_clips(pool: DecodePool) -> None:
    good, rescaled = pool.decode(_LONG_CLIP), pool.decode(_CLIP)
    assert good.instance.pixel_spacing_mm == pytest.approx((0.5105, 0.5105), abs=1e-4)
    assert rescaled.instance.pixel_spacing_mm is None
    assert any("beyond the image" in note for note in rescaled.notes)


def test_colour_is_found_in_the_pixels_of_real_stills_too(pool: DecodePool, tmp_path: Path) -> None:
    from pydicom import dcmread

    for name in ("echo_tee_colour_still_pl.dcm", "echo_tee_colour_still_px.dcm"):
        ds = dcmread(_SAMPLES / name)
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
        ds.save_as(tmp_path / name)
        examined = pool.decode(tmp_path / name)
        assert examined.decoded is None
        assert examined.instance.colour_doppler


def test_arrays_outlive_the_pool_and_leave_no_file(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    (tmp_path / "scratch" / "left.decoded").write_bytes(b"from a killed node")
    pool.close()
    pool = _pool(tmp_path)
    examined = pool.decode(_CLIP)
    pool.close()
    assert not (tmp_path / "scratch").exists()
    assert examined.decoded is not None
    clip = examined.decoded.input
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (30, 240, 320)
    assert clip.colour.shape == (30, 240, 320, 3)
    assert clip.frames.mean() > 5
    clip.frames[0] = 0  # they belong to the caller


def test_several_threads_at_once(pool: DecodePool) -> None:
    paths = [_CLIP, _SAMPLES / "ecg12_mortara_1000hz.dcm"] * 6
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(pool.decode, paths))
    kinds = [type(item.decoded.input) for item in found if item.decoded is not None]
    assert kinds == [Clip, Recording] * 6


def test_no_torch_in_the_child(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    try:
        pool.decode(_CLIP)
        (pid,) = pool.child_pids
        assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0", limits)
        assert not re.search(r"Max address space +unlimited", limits)
    finally:
        pool.close()
    code = "import sys, node.decode.child, node.decode.pool; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "pydicom" in modules
    assert not {"torch", "highdicom", "pynetdicom", "sqlalchemy"} & set(modules)


def _kill_when_busy(pid: int, how: signal.Signals) -> threading.Thread:
    def kill() -> None:
        time.sleep(0.15)
        os.kill(pid, how)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def _slow_clip(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 255, (40, 400, 400), np.uint8)
    return build.save(
        build.echo(frames, build.J2K_LOSSLESS), tmp_path / "s.dcm", build.J2K_LOSSLESS
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_child_is_replaced(how: signal.Signals, tmp_path: Path) -> None:
    slow = _slow_clip(tmp_path)
    pool = _pool(tmp_path)
    try:
        pool.decode(_CLIP)  # it has started
        before = pool.child_pids
        killer = _kill_when_busy(before[0], how)
        with pytest.raises(DecoderDiedError, match=how.name):
            pool.decode(slow)
        killer.join()
        assert pool.child_pids != before
        assert pool.decode(_CLIP).decoded is not None
        assert list((tmp_path / "scratch").iterdir()) == []
    finally:
        pool.close()


def test_a_child_that_died_idle_costs_nothing(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    try:
        pool.decode(_CLIP)
        os.kill(pool.child_pids[0], signal.SIGKILL)
        time.sleep(0.2)
        assert pool.decode(_CLIP).decoded is not None
    finally:
        pool.close()


def test_too_slow(tmp_path: Path) -> None:
    pool = _pool(tmp_path, timeout_s=0.1)
    try:
        with pytest.raises(DecoderDiedError, match=r"longer than 0\.1 s"):
            pool.decode(_slow_clip(tmp_path))
        facts = pool.decode(_OTHERS / "dx_animal_thorax.dcm").instance
        assert facts.is_radiograph
    finally:
        pool.close()


def test_out_of_memory(tmp_path: Path) -> None:
    frames = np.zeros((200, 600, 600), np.uint8)
    path = build.save(build.echo(frames, build.SV1), tmp_path / "large.dcm", build.SV1)
    pool = _pool(tmp_path, memory_mb=64)
    try:
        with pytest.raises(DecoderDiedError, match="ran out of memory"):
            pool.decode(path)
        assert pool.decode(_CLIP).decoded is not None
    finally:
        pool.close()


def test_too_large_is_refused_before_decoding(tmp_path: Path) -> None:
    pool = _pool(tmp_path, max_decoded_mb=1)
    try:
        with pytest.raises(BadObjectError, match="would be larger than 1 MB"):
            pool.decode(_LONG_CLIP)
    finally:
        pool.close()


def _random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


def _damaged_clip(path: Path) -> None:
    data = bytearray(_CLIP.read_bytes())
    data[100_000:101_000] = b"\xff" * 1000
    path.write_bytes(data)


def _nested(path: Path) -> None:
    head = build.save(build.header(build.US, "US"), path).read_bytes()
    item = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(head[: head.rindex(b"\x10\x00\x10\x00")] + item * 2000)


def _endless_value(path: Path) -> None:
    head = build.save(build.header(build.US, "US"), path).read_bytes()
    value = b"\x08\x00\x80\x00UN\0\0\xf0\xff\xff\xff"
    path.write_bytes(head[: head.rindex(b"\x08\x00\x16\x00")] + value + b"cut off")


@pytest.mark.parametrize("make", [_random_bytes, _damaged_clip, _nested, _endless_value])
def test_malformed_then_good(
    pool: DecodePool, make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "bad.dcm")
    with pytest.raises(BadObjectError, match=r"can't be decoded|codestream|missing"):
        pool.decode(tmp_path / "bad.dcm")
    assert pool.decode(_CLIP).decoded is not None


def test_a_missing_instance_is_no_bad_object(pool: DecodePool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pool.decode(tmp_path / "nothing.dcm")


def test_an_instance_that_can_not_be_read_now_is_no_bad_object(
    pool: DecodePool, tmp_path: Path
) -> None:
    """A folder in its place fails in the child as a disk would: with the system's error."""
    with pytest.raises(StorageFailedError, match="EISDIR"):
        pool.decode(tmp_path)
    assert pool.decode(_CLIP).decoded is not None


def test_closed(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    slow = _slow_clip(tmp_path)
    pool.decode(_CLIP)
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(pool.decode, slow) for _ in range(2)]
        time.sleep(0.1)
        pool.close()
        for future in running:
            with pytest.raises(DecoderDiedError):
                future.result(timeout=20)
    with pytest.raises(DecoderDiedError, match="closed"):
        pool.decode(_CLIP)


def test_still_has_no_clip_in_it(pool: DecodePool) -> None:
    examined = pool.decode(_SAMPLES / "echo_still_epiq7_jpeg_lossless.dcm")
    assert examined.decoded is not None
    still = examined.decoded.input
    assert isinstance(still, Still)
    assert still.frame.shape == (768, 1024)
    assert still.frame.max() > 200
