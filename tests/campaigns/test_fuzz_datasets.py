"""Damaged datasets, from arrival to routing: each ends as something that has a name."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from node.arrival.intake import Intake, StoreRequest, StoreStatus
from node.arrival.part10 import FileHead, read_head
from node.arrival.routing import route
from node.arrival.spool import Spool
from node.decode.pool import DecodePool
from node.errors import BadObjectError, DecoderDiedError
from node.ledger.records import Arrival
from node.ledger.states import ArrivalOutcome
from tests.campaigns.campaign import Campaign
from tests.campaigns.lengths import both_lengths
from tests.campaigns.memory import MemoryCurve, descriptors
from tests.campaigns.mutation import mutate
from tests.node_process import ROOT

_COUNT = {True: 20_000, False: 300}
SAMPLES = sorted([*ROOT.glob("sample_dicom/*.dcm"), *ROOT.glob("tests/data/*.dcm")])
#: Of the pixels so much is kept: what is damaged here is what is read before them.
_KEPT_PIXELS = 4096
#: Smaller instances are kept whole.
_SMALL_BYTES = 110_000
_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_PIXELS = b"\xe0\x7f\x10\x00"
_MEASURED_EVERY = 250


class _Seed:
    """A real instance, without most of its pixels if it has many."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.head: FileHead = read_head(content)
        data = content[self.head.dataset_at :]
        pixels = data.rfind(_PIXELS)  # An icon's come before.
        self.header_bytes = pixels if pixels > 0 else len(data)
        is_small = len(data) <= _SMALL_BYTES
        self.data = data if is_small else data[: self.header_bytes + _KEPT_PIXELS]


class _Journal:
    """Stands for the ledger."""

    def __init__(self) -> None:
        self._rows: list[tuple[Arrival, str | None]] = []

    def __call__(self, arrival: Arrival, reason: str | None) -> ArrivalOutcome:
        self._rows.append((arrival, reason))
        return ArrivalOutcome.STORED

    def take(self) -> tuple[Arrival, str | None] | None:
        """The row that was written since the last time."""
        return self._rows.pop() if self._rows else None


@both_lengths
def test_datasets(campaign: Campaign, tmp_path: Path, length: str) -> None:
    seeds = [_Seed(path) for path in SAMPLES]
    assert len(seeds) >= 10
    journal, spool = _Journal(), Spool(tmp_path, reserve_bytes=0)
    intake = Intake(spool, journal, lambda _: False, lambda p, i: p.hex())
    threads = threading.active_count()
    open_files, curve = 0, MemoryCurve()
    pool = DecodePool(1, 1024, 20.0, 64, tmp_path / "scratch")
    others = [seed.data for seed in seeds]
    try:
        for number in campaign.track(range(_COUNT[campaign.is_long])):
            seed = campaign.rng.choice(seeds)
            data = mutate(seed.data, campaign.rng, last=seed.header_bytes, others=others)
            syntax = seed.head.transfer_syntax_uid
            if campaign.rng.random() < 0.05:
                syntax = campaign.rng.choice(_SYNTAXES)
            request = StoreRequest(
                seed.head.sop_class_uid, seed.head.sop_instance_uid, syntax, "FUZZ"
            )
            _take(intake, journal, spool, pool, request, data, campaign)
            if number % _MEASURED_EVERY == 50:
                curve.measure(number, [os.getpid()])
                open_files = open_files or descriptors(os.getpid())
        assert descriptors(os.getpid()) <= open_files + 2
    finally:
        pool.close()
    assert threading.active_count() == threads
    assert list((tmp_path / "spool").rglob("*.part")) == []
    campaign.count(MiB_per_1000=f"{curve.mib_per_1000:+.3f}")
    assert curve.mib_per_1000 < 1.0
    assert all(campaign.counts.get(name) for name in ("analysable", "aside", "mismatches"))


def _take(
    intake: Intake,
    journal: _Journal,
    spool: Spool,
    pool: DecodePool,
    request: StoreRequest,
    data: bytes,
    campaign: Campaign,
) -> None:
    campaign.count(datasets=1)
    part = intake.begin(request)
    part.write(data)
    status = intake.take(part, request)
    row = journal.take()
    if row is None:
        assert status in (StoreStatus.DATASET_MISMATCH, StoreStatus.CANNOT_UNDERSTAND)
        campaign.count(mismatches=1)
        return
    arrival, reason = row
    assert status is StoreStatus.SUCCESS
    blob = spool.path_of(arrival.sha256)
    if reason is not None:
        campaign.count(aside=1)
        assert reason
    else:
        _decode(pool, blob, campaign)
    blob.unlink()


def _decode(pool: DecodePool, blob: Path, campaign: Campaign) -> None:
    campaign.count(analysable=1)
    try:
        examined = pool.decode(blob)
    except BadObjectError as error:
        assert str(error)
        campaign.count(undecodable=1)
    except DecoderDiedError as error:
        # Memory and time have limits on purpose; a native fault would be ours to avoid.
        assert "ended by" not in str(error)
        campaign.count(beyond_limits=1)
    else:
        routes = route(examined.instance)
        assert routes.kind is not None or routes.reason
        campaign.count(routed=int(routes.kind is not None))
