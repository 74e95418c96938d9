"""A disk that fails at any call: never a false success, and work goes on when it has ended."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.campaigns.campaign import Campaign
from tests.campaigns.faults import PythonFault
from tests.campaigns.forked import Ended, Workshop, strace_problem
from tests.campaigns.lengths import both_lengths
from tests.campaigns.outcome import check, told, visible
from tests.campaigns.small_node import write_instances
from tests.campaigns.syscalls import ARGUMENTS, calls, undurable_answers

_INSTANCES = 3
_ERRORS = {
    "openat": ("EMFILE", "EROFS", "EIO", "ENOSPC"),
    "write": ("EIO", "ENOSPC"),
    "pwrite64": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "EROFS"),
    "fdatasync": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EROFS"),
    "mkdir": ("EROFS", "ENOSPC"),
    "unlink": ("EROFS", "EIO"),
    "close": ("EIO",),
}
#: Calls in a row that fail: a hiccup, and a while.
_SPANS = (1, 5)
#: Of a call that is made this often, so many places are enough.
_PLACES = 6
_TRACED = ",".join([*_ERRORS, "sendto"])


@dataclass(frozen=True)
class _Point:
    call: str
    error: str
    first: int
    span: int
    after_start: bool


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as made:
        yield made


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_instances(tmp_path_factory.mktemp("errors") / "in", _INSTANCES)


@both_lengths
def test_injected_errors(
    campaign: Campaign, workshop: Workshop, instances: list[Path], tmp_path: Path, length: str
) -> None:
    if problem := strace_problem():
        pytest.skip(problem)
    reference = _reference(workshop, instances, tmp_path)
    points = campaign.some(_points(workshop, instances, tmp_path), short=6)
    for point in campaign.track(points):
        folder = tmp_path / "node"
        folder.mkdir()
        ended = workshop.run(
            folder, instances, after_start=point.after_start,
            strace=[*ARGUMENTS, "-e", f"trace={_TRACED}", "-e", _inject(point)],
        )  # fmt: skip
        struck = sum(call.is_injected for call in calls(ended.trace))
        campaign.count(points=1, errors=struck, refusals=ended.refused)
        assert undurable_answers(ended.trace) == [], point
        _go_on(workshop, folder, instances, ended, campaign, str(point))
        with told(point):
            check(folder, ended.acknowledged, reference)
        shutil.rmtree(folder)
    assert campaign.counts["errors"]


@both_lengths
def test_errors_from_within(
    campaign: Campaign, workshop: Workshop, instances: list[Path], tmp_path: Path, length: str
) -> None:
    """Where nobody may trace: the same with Python's own calls."""
    reference = _reference(workshop, instances, tmp_path)
    all_points = [
        PythonFault(call, error, first, first + span - 1)
        for call in ("write", "fdatasync", "fsync", "rename", "mkdir")
        for error in _ERRORS[call]
        for first in (1, 2, 3, 5, 8)
        for span in _SPANS
    ]
    for fault in campaign.track(campaign.some(all_points, short=6)):
        folder = tmp_path / "node"
        folder.mkdir()
        ended = workshop.run(folder, instances, python=fault, after_start=True)
        campaign.count(points=1, refusals=ended.refused)
        _go_on(workshop, folder, instances, ended, campaign, str(fault))
        with told(fault):
            check(folder, ended.acknowledged, reference)
        shutil.rmtree(folder)
    assert campaign.counts["refusals"]


def _reference(workshop: Workshop, instances: list[Path], tmp_path: Path) -> Counter[str]:
    folder = tmp_path / "reference"
    folder.mkdir()
    ended = workshop.run(folder, instances)
    assert (ended.signal, ended.failure) == (0, "")
    check(folder, ended.acknowledged, seen := visible(folder))
    # A report of each study, a capture of each instance.
    assert len(seen) == _INSTANCES + 2
    return seen


def _points(workshop: Workshop, instances: list[Path], tmp_path: Path) -> list[_Point]:
    """Where an undisturbed run makes each call, in every thread, before and after its start."""
    points = []
    for after_start in (False, True):
        folder = tmp_path / f"counted {after_start}"
        folder.mkdir()
        ended = workshop.run(
            folder, instances, after_start=after_start, strace=["-e", f"trace={_TRACED}"]
        )
        assert ended.failure == ""
        made = Counter(
            line.split(None, 1)[1].partition("(")[0] + " " + line.split(None, 1)[0]
            for line in ended.trace.splitlines()
        )
        for call, errors in _ERRORS.items():
            times = max((n for who, n in made.items() if who.startswith(f"{call} ")), default=0)
            step = max(1, times // _PLACES)
            points += [
                _Point(call, error, first, span, after_start)
                for error in errors
                for span in _SPANS
                for first in range(1, times + 1, step)
            ]
    return points


def _inject(point: _Point) -> str:
    last = point.first + point.span - 1
    return f"inject={point.call}:error={point.error}:when={point.first}..{last}"


def _go_on(
    workshop: Workshop,
    folder: Path,
    instances: list[Path],
    ended: Ended,
    campaign: Campaign,
    point: str,
) -> None:
    """A node that refused to start on a failing disk starts when it is well; no other may stop."""
    assert ended.signal == 0, point
    if ended.failure.startswith("start: "):
        campaign.count(refused_starts=1)
        again = workshop.run(folder, instances)
        assert (again.signal, again.failure) == (0, ""), point
    else:
        assert ended.failure == "", point
