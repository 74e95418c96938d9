"""Measures receiving: the node beside what else one would put there, in turn in one run."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
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
from tests.benchmarks.receive.big import BigObject
from tests.benchmarks.receive.corpus import Sent, make, make_warm_up
from tests.benchmarks.receive.measurement import Case
from tests.benchmarks.receive.receivers import (
    CORPORA,
    ROOT,
    ROUTER,
    Receiver,
    install_router,
    receivers,
)
from tests.benchmarks.receive.report import Report, machine
from tests.benchmarks.receive.rounds import (
    FULL,
    QUICK,
    Size,
    cases_for,
    cases_of,
    one_round,
    shares_of,
)


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
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Five when left out, two of quick ones.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Fewer instances.")] = False,
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
    # Ended from outside, it must leave no receiver behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    size = QUICK if quick else FULL
    rounds = rounds or (2 if quick else 5)
    console = stdout()
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="receive-")))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        router = install_router(folder / "router")
        chosen, corpora = _chosen(only or [], receivers(checkout.resolve(), router))
        about = {"node": _revision(checkout), "rounds": str(rounds), **machine(folder)}
        about["instances"] = f"{size.brisk}; from senders with Nagle's algorithm {size.nagling}"
        report = Report(about, {})
        if router is None:
            report.notes.append(f"{ROUTER} could not be installed, and was not measured.")
        with tempfile.TemporaryDirectory(prefix="stations-", dir=folder) as ground:
            _measure(report, rounds, size, chosen, corpora, folder, Path(ground))
    if out is not None:
        out.with_suffix(".md").write_text(report.markdown(), encoding="utf-8")
        out.with_suffix(".json").write_text(report.json(), encoding="utf-8")
    console.print(Markdown(report.markdown()) if console.is_terminal else report.markdown())
    if report.problems or report.misses:
        raise typer.Exit(1)


def _measure(
    report: Report,
    rounds: int,
    size: Size,
    chosen: Sequence[Receiver],
    corpora: Sequence[str],
    folder: Path,
    ground: Path,
) -> None:
    """Fill a report, and show how far it is."""
    cases = cases_of(corpora)
    report.found = {(each.name, case): [] for each in chosen for case in cases_for(each, cases)}
    with _progress() as progress:
        shares = shares_of(size, cases, _make(progress, folder, size, cases))
        warm_up = make_warm_up(folder)
        task = progress.add_task("receivers start", total=rounds * len(report.found))
        for number in range(rounds):
            for each in one_round(number, chosen, shares, warm_up, folder, ground):
                if isinstance(each, BigObject):
                    report.big = each
                else:
                    name, case, measured = each
                    report.found[name, case].append(measured)
                    progress.update(task, advance=1, description=f"{name}: {case.name}")
            progress.update(task, description="receivers start")


def _revision(checkout: Path) -> str:
    """The commit that is measured, and whether something was changed since."""
    described = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or "not a repository"


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
