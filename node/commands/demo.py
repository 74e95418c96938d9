"""``cardionode demo``: a node, a receiver and sample studies, all on this machine, for real."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from node.arrival.part10 import read_head
from node.commands.console import plain, stderr, stdout, table
from node.commands.demo_receiver import Receiver
from node.commands.demo_truth import truth_rows
from node.commands.instances import find_instances
from node.commands.outcome_table import outcome_table
from node.data_dir import DataDir
from node.errors import CardionodeError, UnreachableError
from node.ledger.ledger import Ledger
from node.ledger.records import StoredObject, StudyDetail
from node.ledger.states import StudyState
from node.logs import logging_to
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState

SAMPLES = Path(__file__).parents[2] / "sample_dicom"
#: Copies of another sample: a conflict, and a second encoding, which the tests use.
_LEFT_OUT = ("echo_a4c_sonosite_30f_small.dcm", "echo_tee_colour_still_px.dcm")
#: A busy machine takes minutes to load all networks.
_START_S = 600.0
_WORK_S = 600.0
_QUIET_S = 1.5
_POLL_S = 0.1


@dataclass(frozen=True)
class _Sent:
    """When the last byte of each study was acknowledged, and what its instances are called."""

    names: dict[str, str]
    last_byte_at: dict[str, float]


def demo(out: Path | None) -> int:
    """Show the node at work on the sample studies.

    Parameters
    ----------
    out
        Where results stay; ``demo_results`` without it.

    Returns
    -------
    The exit status: 0 when every study was analysed and its results were received.
    """
    target = (out or Path("demo_results")).absolute()
    samples = [p for p in find_instances([SAMPLES]) if p.name not in _LEFT_OUT]
    if not samples:
        raise CardionodeError(f"There are no sample instances in {SAMPLES}.")
    with (
        tempfile.TemporaryDirectory(prefix="cardionode-demo-") as folder,
        # What libraries say of real objects (a misspelt character set) is not for this screen.
        logging_to(secrets.token_bytes(32), "error"),
    ):
        return _demo(Path(folder), samples, target)


def _demo(folder: Path, samples: Sequence[Path], target: Path) -> int:
    receiver = Receiver()
    receiver.start()
    port, page = _free_port(), _free_port()
    config = folder / "node.toml"
    config.write_text(_config(folder, port, page, receiver.address[1], target), encoding="utf-8")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=stderr()) as bar, (folder / "node.log").open("wb") as log:
            row = bar.add_task("starting the node: loading networks", total=None)
            node = _start(config, log.fileno(), folder / "node.log")
            try:
                bar.update(row, description="sending the samples by C-STORE")
                sent = _send(samples, port)
                bar.update(row, description="analysing")
                studies = _wait(DataDir(folder / "var"), len(sent.last_byte_at))
            finally:
                node.send_signal(signal.SIGTERM)
                node.wait(60)
    finally:
        receiver.stop()
    return _tell(studies, sent, receiver, target)


def _config(folder: Path, port: int, page: int, pacs_port: int, target: Path) -> str:
    lines = (
        "[node]", f"data_dir = {json.dumps(str(folder / 'var'))}", "disk_reserve_mb = 64",
        "[listen]", f"port = {port}",
        "[grouping]", f"quiet_s = {_QUIET_S}",
        "[status_page]", f"port = {page}",
        "[[destination]]", 'name = "pacs"', 'kind = "c_store"', 'host = "127.0.0.1"',
        f"port = {pacs_port}", 'ae_title = "DEMOPACS"',
        "[[destination]]", 'name = "folder"', 'kind = "folder"',
        f"path = {json.dumps(str(target))}",
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _start(config: Path, log: int, log_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "node", "serve", "--config", str(config)]
    # The checkout's root, so that the demo also runs where nothing was installed.
    environment = {**os.environ, "PYTHONPATH": str(SAMPLES.parent)}
    node = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if b"ready\n" in log_path.read_bytes():
            return node
        if node.poll() is not None:
            break
        time.sleep(_POLL_S)
    late = node.poll() is None
    node.kill()
    node.wait()
    tail = log_path.read_text(encoding="utf-8", errors="replace")[-2000:]
    ended = f"ended with {node.returncode} before it was ready"
    why = f"was not ready after {_START_S:.0f} s" if late else ended
    raise UnreachableError(f"The node {why}. The end of its log:\n{tail}")


def _send(samples: Sequence[Path], port: int) -> _Sent:
    sender = CStoreSender(Peer("127.0.0.1", port, "CARDIONODE"), "DEMOECHO")
    names: dict[str, str] = {}
    last: dict[str, float] = {}
    try:
        for path in samples:
            stored = _as_stored(path)
            outcome = sender.send(stored, path)
            if outcome.state is not SendState.SENT:
                raise UnreachableError(f"{path.name} was not taken: {outcome.note}")
            names[stored.sop_instance_uid] = str(path.relative_to(SAMPLES))
            last[stored.study_instance_uid] = time.time()
    finally:
        sender.close()
    return _Sent(names, last)


def _as_stored(path: Path) -> StoredObject:
    """A sample as the sender takes it."""
    with path.open("rb") as stream:
        head = read_head(stream.read(1 << 20))
    ds = dcmread(
        path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SeriesInstanceUID"]
    )
    return StoredObject(
        "capture", "sample", head.sop_class_uid, head.sop_instance_uid,
        str(ds.SeriesInstanceUID), str(ds.StudyInstanceUID), 1, "", path.stat().st_size, str(path),
    )  # fmt: skip


def _wait(data_dir: DataDir, studies: int) -> list[StudyDetail]:
    """Until every study is complete and all its results have arrived."""
    deadline = time.monotonic() + _WORK_S
    with Ledger.open(data_dir.ledger, read_only=True) as ledger:
        while time.monotonic() < deadline:
            rows = ledger.recent_studies(1000)
            details = [d for d in (ledger.study(row.study_uid) for row in rows) if d is not None]
            if len(details) >= studies and all(_is_done(d) for d in details):
                return sorted(details, key=lambda d: d.study.first_arrival_at)
            time.sleep(_POLL_S)
    raise UnreachableError("The node did not finish in time.")


def _is_done(detail: StudyDetail) -> bool:
    jobs = all(job.state.value in ("done", "failed", "not_applicable") for job in detail.jobs)
    sent = all(d.state.value in ("sent", "committed", "dead") for d in detail.deliveries)
    return detail.study.state is StudyState.COMPLETE and jobs and sent


def _tell(studies: Sequence[StudyDetail], sent: _Sent, receiver: Receiver, target: Path) -> int:
    console = stdout()
    console.print(outcome_table(studies, {uid: [name] for uid, name in sent.names.items()}))
    truths = list(truth_rows(studies, SAMPLES, sent.names))
    if truths:
        columns = ("simulated instance", "truth", "found")
        console.print(table("The simulated patient: truth beside what was found", columns, truths))
    console.print(table("From last byte to report", ("study", "reports", "captures", "seconds"),
                        _timing_rows(studies, sent, receiver)))  # fmt: skip
    rows = [(str(p.relative_to(target)),) for p in sorted(target.rglob("*")) if p.suffix == ".png"]
    console.print(table("Pictures", ("in " + str(target),), rows))
    console.print(plain(f"Structured reports and captures: {target}/<study uid>/*.dcm"))
    console.print(plain("Weights are trained on simulated data: research use only."))
    dead = any(d.state.value == "dead" for study in studies for d in study.deliveries)
    failed = any(job.state.value == "failed" for study in studies for job in study.jobs)
    return 1 if dead or failed else 0


def _timing_rows(
    studies: Sequence[StudyDetail], sent: _Sent, receiver: Receiver
) -> list[tuple[str, int, int, str]]:
    rows = []
    for study in studies:
        uid = study.study.study_uid
        reports = [r.object for r in study.results if r.object.kind == "sr"]
        captures = [r.object for r in study.results if r.object.kind == "capture"]
        arrived = [receiver.arrived_at(o.sop_instance_uid) for o in reports]
        known = [at for at in arrived if at is not None]
        first = study.instances[0].row
        name = sent.names.get(first.sop_instance_uid, "-")
        took = f"{max(known) - sent.last_byte_at[uid]:.1f}" if known else "-"
        rows.append(
            (f"{name} ({len(study.instances)} instances)", len(reports), len(captures), took)
        )
    return rows


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
