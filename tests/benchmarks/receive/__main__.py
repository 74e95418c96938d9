"""Measures receiving: the node beside what else one would put there, in turn in one run."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from node.commands.console import stderr, stdout
from tests.benchmarks.receive.big import BigObject, measure_big
from tests.benchmarks.receive.corpus import Sent, make, make_warm_up
from tests.benchmarks.receive.measurement import Case, Measured, measure
from tests.benchmarks.receive.receivers import (
    CORPORA,
    ROOT,
    ROUTER,
    Receiver,
    install_router,
    receivers,
)
from tests.benchmarks.receive.report import Report, machine
from tests.benchmarks.receive.senders import NotTakenError
from tests.benchmarks.receive.station import Station
from tests.benchmarks.receive.verdicts import NODE

_BIG_BYTES = 1 << 30

Step = tuple[str, Case, Measured] | BigObject


@dataclass(frozen=True)
class Size:
    """How many instances of each corpus a case sends: to senders that don't wait, and that do."""

    brisk: dict[str, int]
    nagling: dict[str, int]

    def of(self, case: Case) -> int:
        """How many a case sends."""
        return (self.nagling if case.nagle else self.brisk)[case.corpus]


FULL = Size({"echo": 60, "xray": 200, "ecg": 500}, {"echo": 16, "xray": 24, "ecg": 60})
QUICK = Size({"echo": 24, "xray": 60, "ecg": 160}, {"echo": 8, "xray": 10, "ecg": 24})


def cases_of(corpora: Sequence[str]) -> list[Case]:
    """Every case of some corpora."""
    return [
        Case(corpus, senders, nagle)
        for nagle in (False, True)
        for corpus in corpora
        for senders in (1, 4)
    ]


def one_round(
    number: int,
    chosen: Sequence[Receiver],
    shares: dict[Case, list[Sent]],
    warm_up: Sent,
    work: Path,
) -> Iterator[Step]:
    """Measure every receiver in every case, each in a fresh folder; who is first changes.

    Yields
    ------
    What was measured, as soon as it was; the last is a large instance to the node.
    """
    with ExitStack() as stack:
        stations = []
        for receiver in chosen:
            station = stack.enter_context(_station(receiver, work))
            try:
                station.start(warm_up)
            except NotTakenError as error:
                for case in _cases_for(receiver, shares):
                    yield receiver.name, case, Measured(0.0, 0.0, 0.0, str(error))
            else:
                stations.append(station)
        for at, (case, instances) in enumerate(shares.items()):
            first = (number + at) % max(1, len(stations))
            for station in (*stations[first:], *stations[:first]):
                if case.corpus in station.receiver.takes:
                    yield station.receiver.name, case, measure(station, case, instances)
        for station in stations:
            if station.receiver.name == NODE and number == 0:
                yield measure_big(station, work, _BIG_BYTES)


@contextmanager
def _station(receiver: Receiver, work: Path) -> Iterator[Station]:
    station = Station(receiver, work)
    try:
        yield station
    finally:
        station.end()


def _cases_for(receiver: Receiver, cases: Iterable[Case]) -> list[Case]:
    return [case for case in cases if case.corpus in receiver.takes]


def _shares(
    size: Size, cases: Sequence[Case], made: dict[str, list[Sent]]
) -> dict[Case, list[Sent]]:
    """Divide the corpora: a receiver gets no instance twice, which it may know by then."""
    shares, used = {}, dict.fromkeys(made, 0)
    for case in cases:
        begin = used[case.corpus]
        used[case.corpus] = begin + size.of(case)
        shares[case] = made[case.corpus][begin : used[case.corpus]]
    return shares


def _chosen(only: Sequence[str], known: Sequence[Receiver]) -> tuple[list[Receiver], list[str]]:
    names = {each.name for each in known}
    unknown = set(only) - names - CORPORA
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: not one of {sorted(names | CORPORA)}"
        )
    corpora = [each for each in ("echo", "xray", "ecg") if each in only] or ["echo", "xray", "ecg"]
    return [each for each in known if each.name in only] or list(known), corpora


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    quick: Annotated[bool, typer.Option(help="Two rounds of fewer instances.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Receivers or corpora; may be repeated.")
    ] = None,
    checkout: Annotated[Path, typer.Option(help="Whose node is measured.")] = ROOT,
    work: Annotated[
        Path | None,
        typer.Option(help="On the disk to measure; keeps corpora for another run. Else temporary."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write this .md and, beside it, every number as .json.")
    ] = None,
) -> None:
    """Measure objects per second, CPU and memory of receivers, with 1 and 4 senders."""
    size, rounds = (QUICK, min(rounds, 2)) if quick else (FULL, rounds)
    console = stdout()
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="receive-")))
        folder.mkdir(parents=True, exist_ok=True)
        router = install_router(folder.resolve() / "router")
        chosen, corpora = _chosen(only or [], receivers(checkout.resolve(), router))
        cases = cases_of(corpora)
        report = Report({"node": str(checkout.resolve().name), "rounds": str(rounds)}, {})
        report.about |= machine(folder)
        if router is None:
            report.notes.append(f"{ROUTER} could not be installed, and was not measured.")
        found: dict[tuple[str, Case], list[Measured]] = defaultdict(list)
        progress = stack.enter_context(_progress())
        made = _make(progress, folder, size, cases)
        shares, warm_up = _shares(size, cases, made), make_warm_up(folder)
        total = sum(len(_cases_for(each, cases)) for each in chosen)
        task = progress.add_task("receivers start", total=rounds * total)
        for number in range(rounds):
            for each in one_round(number, chosen, shares, warm_up, folder):
                if isinstance(each, BigObject):
                    report.big = each
                    continue
                name, case, measured = each
                found[name, case].append(measured)
                progress.update(task, advance=1, description=f"{name}: {case.name}")
            progress.update(task, description="receivers start")
        report.found = {
            (each.name, case): found[each.name, case]
            for each in chosen
            for case in cases
            if (each.name, case) in found
        }
    if out is not None:
        out.with_suffix(".md").write_text(report.markdown(), encoding="utf-8")
        out.with_suffix(".json").write_text(report.json(), encoding="utf-8")
    console.print(Markdown(report.markdown()) if console.is_terminal else report.markdown())
    if report.problems or report.misses:
        raise typer.Exit(1)


def _make(
    progress: Progress, folder: Path, size: Size, cases: Sequence[Case]
) -> dict[str, list[Sent]]:
    counts: dict[str, int] = defaultdict(int)
    for case in cases:
        counts[case.corpus] += size.of(case)
    task = progress.add_task("making corpora", total=sum(counts.values()))
    made: dict[str, list[Sent]] = defaultdict(list)
    for name, instance in make(folder, counts):
        made[name].append(instance)
        progress.update(task, advance=1)
    return made


def _progress() -> Progress:
    columns = TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TimeElapsedColumn(), console=stderr())


if __name__ == "__main__":
    typer.run(main)
