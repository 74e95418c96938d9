"""Damaged pixels in the disposable children: no codec brings one down, and nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

from node.decode.pool import DecodePool
from node.errors import BadObjectError, DecoderDiedError
from tests import build_instances as build
from tests.campaigns.campaign import Campaign
from tests.campaigns.lengths import both_lengths
from tests.campaigns.memory import MemoryCurve, threads
from tests.campaigns.mutation import mutate
from tests.node_process import ROOT, is_running

_COUNT = {True: 6_000, False: 80}
_SYNTAXES = (
    build.SV1, build.LS, build.J2K_LOSSLESS, build.J2K, build.RLE, build.BASELINE, build.EXPLICIT,
)  # fmt: skip
_REAL = (
    "sample_dicom/echo_apical_agilent_10f.dcm",
    "sample_dicom/echo_still_epiq7_jpeg_lossless.dcm",
    "sample_dicom/echo_tee_colour_still_pl.dcm",
    "sample_dicom/ecg12_mortara_1000hz.dcm",
    "tests/data/us_obstetric_palette.dcm",
)
_HEAD_BYTES = 132


@both_lengths
def test_pixels(campaign: Campaign, tmp_path: Path, length: str) -> None:
    seeds = [
        build.save(build.echo(build.colour_frames(3), syntax, "RGB"), tmp_path / "seed", syntax)
        .read_bytes()
        for syntax in _SYNTAXES
    ]  # fmt: skip
    seeds += [(ROOT / name).read_bytes() for name in _REAL]
    pool = DecodePool(1, 1024, 20.0, 64, tmp_path / "scratch")
    curve, path = MemoryCurve(), tmp_path / "instance.dcm"
    before = threads(os.getpid())
    pids: set[int] = set()
    try:
        for number in campaign.track(range(_COUNT[campaign.is_long])):
            seed = seeds[number % len(seeds)]
            first = max(seed.rfind(b"\xe0\x7f\x10\x00"), _HEAD_BYTES)
            where = first if campaign.rng.random() < 0.8 else _HEAD_BYTES
            path.write_bytes(mutate(seed, campaign.rng, first=where))
            _decode(pool, path, campaign)
            pids |= set(pool.child_pids)
            if number % 100 == 50:
                curve.measure(number, [os.getpid()])
        assert list((tmp_path / "scratch").iterdir()) == []
    finally:
        pool.close()
    assert not any(map(is_running, pids))
    assert threads(os.getpid()) == before
    campaign.count(children=len(pids), MiB_per_1000=f"{curve.mib_per_1000:+.3f}")
    assert curve.mib_per_1000 < 1.0
    assert campaign.counts["decoded"] and campaign.counts["refused"]


def _decode(pool: DecodePool, path: Path, campaign: Campaign) -> None:
    campaign.count(instances=1)
    try:
        pool.decode(path)
    except BadObjectError:
        campaign.count(refused=1)
    except DecoderDiedError as error:
        # Memory and time have limits on purpose; a native fault would be ours to avoid.
        assert "ended by" not in str(error)
        campaign.count(beyond_limits=1)
    else:
        campaign.count(decoded=1)
