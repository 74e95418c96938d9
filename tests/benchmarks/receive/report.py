"""Tells what was measured: a page of tables in Markdown, and every number in JSON."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.receive.big import BigObject
from tests.benchmarks.receive.measurement import Case, Measured
from tests.benchmarks.receive.verdicts import Verdict, verdicts


@dataclass
class Report:
    """Everything of one run.

    Attributes
    ----------
    about
        What was measured where, by name.
    found
        By receiver and case, one of each round.
    big
        One large instance to the node, None when it was not sent.
    notes
        What the reader must know.
    """

    about: dict[str, str]
    found: dict[tuple[str, Case], list[Measured]]
    big: BigObject | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What was lost, changed or refused: figures beside it do not count."""
        return sorted(
            {
                f"{name}: {case.name}: {each.problem}"
                for (name, case), rounds in self.found.items()
                for each in rounds
                if each.problem
            }
        )

    @property
    def misses(self) -> list[Verdict]:
        """The floors that the node does not reach."""
        return [each for each in verdicts(self.found) if each.says == "MISS"]

    def markdown(self) -> str:
        """The page."""
        parts = ["# Receiving\n", *(f"- {name}: {said}" for name, said in self.about.items())]
        parts += [f"- {note}" for note in self.notes]
        for nagle in (False, True):
            cases = [case for case in self._cases if case.nagle == nagle]
            if cases:
                parts.append(
                    "\n## Objects per second, "
                    + ("senders with Nagle's algorithm" if nagle else "TCP_NODELAY at the senders")
                )
                parts.append("Median of the rounds, and their spread.\n")
                parts.append(self._table(cases, _speed))
        parts += ["\n## CPU of the receiver, ms per object\n", self._table(self._cases, _cpu)]
        parts += ["\n## Memory of the receiver at most, MB\n", self._table(self._cases, _memory)]
        parts += ["\n## Node by peer\n", _verdict_table(verdicts(self.found))]
        if self.big is not None:
            parts += ["\n## One large instance to the node\n", self.big.sentence]
        if self.problems:
            parts += ["\n## Problems\n", *(f"- {each}" for each in self.problems)]
        return "\n".join(parts) + "\n"

    def json(self) -> str:
        """Every number."""
        told: dict[str, Any] = {
            "about": self.about,
            "notes": self.notes,
            "rounds": [
                {"receiver": name, **asdict(case), "rounds": [asdict(each) for each in rounds]}
                for (name, case), rounds in self.found.items()
            ],
            "verdicts": [
                {**asdict(each.case), **asdict(each), "says": each.says}
                for each in verdicts(self.found)
            ],
            "big": None if self.big is None else asdict(self.big),
            "problems": self.problems,
        }
        for each in told["verdicts"]:
            del each["case"]
        return json.dumps(told, indent=2) + "\n"

    @property
    def _cases(self) -> list[Case]:
        return list(dict.fromkeys(case for _, case in self.found))

    def _table(self, cases: Sequence[Case], cell: Callable[[Sequence[Measured]], str]) -> str:
        names = list(dict.fromkeys(name for name, _ in self.found))
        rows = [
            [name, *(_said(self.found.get((name, case), ()), cell) for case in cases)]
            for name in names
        ]
        return _markdown_table(["receiver", *(case.name for case in cases)], rows)


def machine(work: Path) -> dict[str, str]:
    """Where it was measured; figures of different machines say nothing about each other."""
    cores = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    load = Path("/proc/loadavg").read_text().split()[0]
    model = cores[0].partition(": ")[2] if cores else platform.machine()
    return {"machine": f"{len(cores)} x {model}, {_file_system(work)}, load {load} at the start"}


def _file_system(folder: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [each for each in mounts if folder.resolve().is_relative_to(each[1])]
    return max(holding, key=lambda each: len(each[1]))[2]


def _said(rounds: Sequence[Measured], cell: Callable[[Sequence[Measured]], str]) -> str:
    good = [each for each in rounds if not each.problem]
    if not rounds:
        return "-"
    return cell(good) if len(good) == len(rounds) else "failed"


def _speed(rounds: Sequence[Measured]) -> str:
    speeds = [each.objects_per_s for each in rounds]
    return f"{median(speeds):.3g} ({min(speeds):.3g} to {max(speeds):.3g})"


def _cpu(rounds: Sequence[Measured]) -> str:
    return f"{median(each.cpu_ms for each in rounds):.2f}"


def _memory(rounds: Sequence[Measured]) -> str:
    return f"{max(each.peak_mb for each in rounds):.0f}"


def _verdict_table(found: Sequence[Verdict]) -> str:
    rows = [
        [
            each.case.name, each.peer,
            f"{each.ratio:.2f} ({each.lowest:.2f} to {each.highest:.2f})",
            "-" if each.floor is None else f"{each.floor:g}", each.says,
        ]
        for each in found
    ]  # fmt: skip
    return _markdown_table(["case", "peer", "node by peer", "floor", ""], rows)


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
