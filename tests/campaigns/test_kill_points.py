"""SIGKILL at every write, sync, rename and commit from arrival to delivery; then a restart."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.campaigns.campaign import Campaign
from tests.campaigns.faults import PYTHON_CALLS, PythonFault
from tests.campaigns.forked import Workshop, strace_problem
from tests.campaigns.lengths import both_lengths
from tests.campaigns.outcome import check, told, visible
from tests.campaigns.small_node import write_instances

_INSTANCES = 3
_CALLS = (
    "openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "mkdir", "unlink", "ftruncate",
    "sendto",
)  # fmt: skip
#: A call that is made more often is struck at so many places.
_PLACES = 80


@dataclass(frozen=True)
class _Point:
    call: str
    when: int
    #: Only calls that concern this file of the data directory count; empty for all.
    file: str


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        yield made


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_instances(tmp_path_factory.mktemp("kills") / "in", _INSTANCES)


@both_lengths
def test_every_call(
    campaign: Campaign, workshop: Workshop, instances: list[Path], tmp_path: Path, length: str
) -> None:
    """A node that is new, from the making of its ledger to its end."""
    if problem := strace_problem():
        pytest.skip(problem)
    reference = _reference(workshop, instances, tmp_path)
    points = campaign.some(_points(workshop, instances, tmp_path), short=10)
    for point in campaign.track(points):
        folder = tmp_path / "node"
        folder.mkdir()
        of_file = ["-P", str(folder / "var" / point.file)] if point.file else []
        ended = workshop.run(
            folder, instances,
            strace=[
                *of_file, "-e", f"trace={point.call}",
                "-e", f"inject={point.call}:signal=KILL:when={point.when}",
            ],
        )  # fmt: skip
        with told(point):
            campaign.count(points=1, kills=int(ended.signal == signal.SIGKILL))
            campaign.count(acknowledged=len(ended.acknowledged))
            assert ended.signal == signal.SIGKILL or ended.failure == ""
            _restart(workshop, folder, instances, ended.acknowledged, reference)
        shutil.rmtree(folder)
    assert campaign.counts["kills"]


@both_lengths
def test_kills_from_within(
    campaign: Campaign, workshop: Workshop, instances: list[Path], tmp_path: Path, length: str
) -> None:
    """Where nobody may trace: the same before Python's own calls and the ledger's commits."""
    reference = _reference(workshop, instances, tmp_path)
    points = [PythonFault(call, "KILL", n, n) for call in PYTHON_CALLS for n in range(1, 25)]
    for fault in campaign.track(campaign.some(points, short=8)):
        folder = tmp_path / "node"
        folder.mkdir()
        ended = workshop.run(folder, instances, python=fault)
        with told(fault):
            campaign.count(points=1, kills=int(ended.signal == signal.SIGKILL))
            _restart(workshop, folder, instances, ended.acknowledged, reference)
        shutil.rmtree(folder)
    assert campaign.counts["kills"]


def _restart(
    workshop: Workshop,
    folder: Path,
    instances: list[Path],
    acknowledged: dict[str, str],
    reference: Counter[str],
) -> None:
    """Start again; senders repeat what was not acknowledged, and nothing else."""
    left = [path for path in instances if path.name not in acknowledged]
    again = workshop.run(folder, left)
    assert (again.signal, again.failure) == (0, "")
    check(folder, acknowledged | again.acknowledged, reference)


def _reference(workshop: Workshop, instances: list[Path], tmp_path: Path) -> Counter[str]:
    folder = tmp_path / "reference"
    folder.mkdir()
    ended = workshop.run(folder, instances)
    assert (ended.signal, ended.failure) == (0, "")
    seen = visible(folder)
    assert sum(seen.values()) == _INSTANCES + 2  # a report of each study, and captures
    return seen


def _points(workshop: Workshop, instances: list[Path], tmp_path: Path) -> list[_Point]:
    """Where an undisturbed run makes each call, in any thread and for the ledger's log alone."""
    points = []
    for file in ("", "ledger.sqlite-wal", "ledger.sqlite"):
        folder = tmp_path / f"counted {file}"
        folder.mkdir()
        of_file = ["-P", str(folder / "var" / file)] if file else []
        ended = workshop.run(
            folder, instances, strace=[*of_file, "-e", f"trace={','.join(_CALLS)}"]
        )
        assert ended.failure == ""
        made: Counter[tuple[str, str]] = Counter()
        for line in ended.trace.splitlines():
            pid, _, rest = line.partition(" ")
            made[rest.strip().partition("(")[0], pid] += 1
        for call in _CALLS:
            times = max((n for (name, _), n in made.items() if name == call), default=0)
            step = max(1, times // _PLACES)
            points += [_Point(call, when, file) for when in range(1, times + 1, step)]
    return points
