"""The power fails at any moment: what was acknowledged is there, and nothing torn is believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from node.arrival.spool import Spool
from node.data_dir import DataDir
from node.errors import CardionodeError
from node.ledger.ledger import Ledger
from node.result_store import ResultStore
from tests.campaigns.campaign import Campaign
from tests.campaigns.disk import Disk, ways
from tests.campaigns.forked import Workshop, strace_problem
from tests.campaigns.lengths import both_lengths
from tests.campaigns.outcome import told
from tests.campaigns.small_node import write_instances
from tests.campaigns.syscalls import ARGUMENTS, Call, calls

_INSTANCES = 4
_TRACED = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,mkdir,unlink,rmdir,sendto"
#: What changes the disk, or what is promised; elsewhere the power may fail, too, with nothing new.
_STEPS = {
    "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "mkdir", "unlink", "sendto",
}  # fmt: skip
#: Random ways to end, besides none and all, of what was not safe.
_WAYS = 8
#: The long form ends after so many different disks.
_MOST_STATES = 2500


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        yield made


@both_lengths
def test_states_after_power_loss(
    campaign: Campaign, workshop: Workshop, tmp_path: Path, length: str
) -> None:
    if problem := strace_problem():
        pytest.skip(problem)
    recorded, disk = _record(workshop, tmp_path)
    moments = [at for at, call in enumerate(recorded) if call.name in _STEPS]
    chosen = set(campaign.some(moments, short=25))
    if campaign.is_long:
        chosen = set(campaign.rng.sample(moments, min(len(moments), _MOST_STATES // 2)))
    acknowledged: set[str] = set()
    known: set[str] = set()
    folder = tmp_path / "after"
    for at, call in campaign.track(enumerate(recorded), total=len(recorded)):
        disk.apply(call)
        if call.name == "sendto":
            said = json.loads(call.texts[0])
            acknowledged |= {said["sha256"]} if said.get("status") == 0 else set()
        if at not in chosen or len(known) >= _MOST_STATES:
            continue
        for way, keep in ways(disk.unsafe, campaign.rng, _WAYS if campaign.is_long else 3):
            disk.materialise(folder, keep)
            fingerprint = _fingerprint(folder, acknowledged)
            if fingerprint not in known:
                known.add(fingerprint)
                campaign.count(states=1)
                with told(f"call {at}, {call.name} {call.paths}, {way} of what was not safe"):
                    _check(folder / "var", acknowledged, campaign)
            shutil.rmtree(folder)
    assert len(acknowledged) == _INSTANCES
    campaign.count(moments=len(chosen), acknowledged=len(acknowledged))


def _record(workshop: Workshop, tmp_path: Path) -> tuple[list[Call], Disk]:
    """Every call of a node that is new, from its start to its end."""
    instances = write_instances(tmp_path / "in", _INSTANCES)
    folder = tmp_path / "node"
    folder.mkdir()
    disk = Disk(folder)
    ended = workshop.run(folder, instances, strace=[*ARGUMENTS, "-e", f"trace={_TRACED}"])
    assert (ended.signal, ended.failure) == (0, "")
    return list(calls(ended.trace)), disk


def _fingerprint(folder: Path, acknowledged: set[str]) -> str:
    digest = sha256(repr(sorted(acknowledged)).encode())
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _check(var: Path, acknowledged: set[str], campaign: Campaign) -> None:
    """Start as a node does, and look at what it believes."""
    if not acknowledged and not (var / "ledger.sqlite").exists():
        campaign.count(without_a_ledger=1)
        return
    data_dir = DataDir(var)
    for place in (data_dir.spool_in, data_dir.spool_obj, data_dir.results):
        place.mkdir(parents=True, exist_ok=True)
    try:
        ledger = Ledger.open(data_dir.ledger)
    except CardionodeError:
        # Before anything was promised a node may have to begin anew; never after.
        assert not acknowledged
        campaign.count(refused_starts=1)
        return
    with ledger:
        spool = Spool(var, reserve_bytes=0)
        spool.sweep(ledger.has_blob, older_than_s=0.0, now=lambda: 1e12)
        ResultStore(var, data_dir.results).sweep(ledger.object_digests())
        ledger.recover()
        _check_instances(ledger, spool, acknowledged)
        for digest in ledger.object_digests():
            content = (data_dir.results / digest[:2] / f"{digest}.dcm").read_bytes()
            assert sha256(content).hexdigest() == digest
    assert list(var.rglob("*.part")) == []


def _check_instances(ledger: Ledger, spool: Spool, acknowledged: set[str]) -> None:
    rows = []
    for row in ledger.recent_studies(1000):
        detail = ledger.study(row.study_uid)
        assert detail is not None
        rows += [each.row.sha256 for each in detail.instances]
    assert len(rows) == len(set(rows))
    assert acknowledged <= set(rows)
    for digest in rows:
        assert sha256(spool.path_of(digest).read_bytes()).hexdigest() == digest
