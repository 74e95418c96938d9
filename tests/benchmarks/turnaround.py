"""Measures turnaround: from the last byte of a cine to its last report at the receiver.

It is told beside the bare work on the same cine, measured in turn in the same run: decoding,
forward passes, explanations, captures, reports and sending in one process without a node.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from pydicom import dcmread
from pydicom.uid import generate_uid
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from node.commands.console import stderr, stdout
from node.commands.demo_receiver import Receiver
from node.errors import UnreachableError
from node.findings import FINDINGS
from node.inference.messages import HostSettings
from node.ledger.ledger import Ledger
from node.ledger.records import StudyDetail
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState
from tests.benchmarks.bare import Bare
from tests.benchmarks.stages import is_sent, stages
from tests.node_process import NodeProcess, as_sent, wait_until

CINE = Path(__file__).parents[2] / "sample_dicom" / "echo_a4c_sonosite_120f.dcm"
_WORK_S = 600.0


@dataclass(frozen=True)
class Round:
    """One cine through the node, and the same through the bare stages; seconds.

    Attributes
    ----------
    turnaround_s, bare_s
        In all.
    node, bare
        By part.
    acknowledged_s
        From the last byte to the answer of the C-STORE.
    said
        What each finding made of the cine.
    """

    turnaround_s: float
    bare_s: float
    node: dict[str, float]
    bare: dict[str, float]
    acknowledged_s: float
    said: dict[str, str]


def fresh_copy(source: Path, target: Path) -> str:
    """Write an instance with the same pixels as a study of its own; return the study's UID."""
    ds = dcmread(source)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.save_as(target, enforce_file_format=True)
    return str(ds.StudyInstanceUID)


def measure(node: NodeProcess, receiver: Receiver, bare: Bare, folder: Path) -> Round:
    """Measure both once, each with a cine that nobody has seen.

    Raises
    ------
    UnreachableError, TimeoutError
        The cine or its results did not arrive.
    """
    cine = folder / "cine.dcm"
    study_uid = fresh_copy(CINE, cine)
    last_byte_at, acknowledged_at = _send(cine, node.port)
    with Ledger.open(node.data_dir.ledger, read_only=True) as ledger:
        wait_until(lambda: is_sent(ledger.study(study_uid)), _WORK_S, "the cine's results")
        detail, events = ledger.study(study_uid), ledger.events(study_uid)
    if detail is None:
        raise UnreachableError("The node does not know the study.")
    reports = [row.object.sop_instance_uid for row in detail.results if row.object.kind == "sr"]
    stored_at = max(receiver.arrived_at(uid) or 0.0 for uid in reports)
    fresh_copy(CINE, cine)
    parts = bare.work(cine)
    return Round(
        turnaround_s=stored_at - last_byte_at,
        bare_s=parts.pop("total"),
        node=stages(events, last_byte_at, stored_at),
        bare=parts,
        acknowledged_s=acknowledged_at - last_byte_at,
        said=_said(detail),
    )


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Medians over rounds, and the ratio of the two."""
    turnaround = median(r.turnaround_s for r in rounds)
    bare = median(r.bare_s for r in rounds)
    ratios = [r.turnaround_s / r.bare_s for r in rounds]
    return {
        "rounds": len(rounds),
        "turnaround_s": turnaround,
        "bare_s": bare,
        "ratio": turnaround / bare,
        "ratio_of_rounds": [min(ratios), max(ratios)],
        "acknowledged_s": median(r.acknowledged_s for r in rounds),
        "node": {part: median(r.node[part] for r in rounds) for part in rounds[0].node},
        "bare": {part: median(r.bare[part] for r in rounds) for part in rounds[0].bare},
        "said": rounds[-1].said,
    }


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count; one more warms up.")] = 5,
    cores: Annotated[int, typer.Option(min=1, help="Cores that everything runs on.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    quiet: Annotated[float, typer.Option(help="The node's quiet_s.")] = 0.2,
    out: Annotated[
        Path | None, typer.Option("--json", help="Also write every number here.")
    ] = None,
) -> None:
    """Measure from the last byte of a cine to its last report at the receiver."""
    console, progress_console = stdout(), stderr()
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, chosen)
    with tempfile.TemporaryDirectory(prefix="cardionode-bench-") as name:
        folder = Path(name)
        receiver = Receiver()
        receiver.start()
        sections: dict[str, dict[str, Any]] = {
            "node": {"device": device},
            "grouping": {"quiet_s": quiet},
        }
        node = NodeProcess(folder, receiver.address[1], sections)
        try:
            node.start()
            bare = _bare(folder, receiver, device, len(chosen))
            found = []
            with Progress(console=progress_console) as progress:
                for _ in progress.track(range(rounds + 1), description="rounds"):
                    found.append(measure(node, receiver, bare, folder))
        finally:
            if node.is_alive:
                node.stop()
            receiver.stop()
    told = {
        "cine": CINE.name,
        "cores": len(chosen),
        "device": bare.device,
        "quiet_s": quiet,
        **summary(found[1:]),
    }
    if out is not None:
        every = [{"turnaround_s": r.turnaround_s, "bare_s": r.bare_s} for r in found[1:]]
        out.write_text(json.dumps({**told, "each": every}, indent=2) + "\n", encoding="utf-8")
    _tell(console, told)
    missing = [f.name for f in FINDINGS if told["said"].get(f.name) != "analysed"]
    if missing:
        progress_console.print(f"[red]Not the full work: no {', '.join(missing)} was made.[/red]")
        raise typer.Exit(1)


def _bare(folder: Path, receiver: Receiver, device: str, threads: int) -> Bare:
    own = folder / "bare"
    own.mkdir()
    sender = CStoreSender(Peer(*receiver.address, "DEMOPACS"), "BENCHMARK")
    return Bare(own, HostSettings(device=device, threads=threads), sender)


def _send(path: Path, port: int) -> tuple[float, float]:
    """Send one instance; return when its last byte had left, and when it was acknowledged."""
    sender = CStoreSender(Peer("127.0.0.1", port, "CARDIONODE"), "BENCHMARK")
    try:
        outcome = sender.send(as_sent(path), path)
        acknowledged_at = time.time()
        # The last time that the association wrote to its socket: no public name is worth it.
        last_byte_at = acknowledged_at - (time.monotonic() - sender._line._progress_at)
    finally:
        sender.close()
    if outcome.state is not SendState.SENT:
        raise UnreachableError(f"The cine was not taken: {outcome.note}")
    return last_byte_at, acknowledged_at


def _said(detail: StudyDetail) -> dict[str, str]:
    outcomes = [row.outcome for row in detail.outcomes]
    return {o.finding: o.state if o.state == "analysed" else o.reason for o in outcomes}


def _tell(console: Console, told: dict[str, Any]) -> None:
    title = f"{told['cine']}: {told['rounds']} rounds, {told['cores']} cores, {told['device']}"
    table = Table("", "ms", box=None)
    table.columns[1].justify = "right"
    for heading, parts, total in (
        ("Node: last byte to last report stored", told["node"], told["turnaround_s"]),
        ("Bare: the same work in one process", told["bare"], told["bare_s"]),
    ):
        table.add_row(f"[bold]{heading}[/bold]", f"[bold]{1000 * total:.0f}[/bold]")
        for part, seconds in parts.items():
            table.add_row(f"  {part}", f"{1000 * seconds:.0f}")
    table.add_row("C-STORE answered after its last byte", f"{1000 * told['acknowledged_s']:.0f}")
    low, high = told["ratio_of_rounds"]
    console.print(f"[bold]{title}[/bold]", table, sep="\n")
    console.print(f"Ratio {told['ratio']:.2f}; of the rounds {low:.2f} to {high:.2f}")
    console.print(f"quiet_s is {told['quiet_s']:g} s, from the arrival on; nothing is subtracted")
    for finding, said in told["said"].items():
        console.print(f"{finding}: {said}")


if __name__ == "__main__":
    typer.run(main)
