"""``cardionode process``: the way of an instance without the network, from disk to disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from node.commands.check_config import read_settings
from node.commands.console import plain, stderr, stdout, table
from node.commands.instances import Found, find_instances, take_in
from node.commands.outcome_table import outcome_table
from node.config import DeliverySettings, FolderDestination, Settings
from node.data_dir import DataDir
from node.ledger.records import StudyDetail
from node.logs import logging_to
from node.runtime import Runtime

_POLL_S = 0.1
_NEVER_S = 86_400.0


def process(paths: Sequence[Path], out: Path, config: Path | None) -> int:
    """Analyse instances on disk.

    Returns
    -------
    The exit status: 0, 1 when an instance was not taken, a job failed or a result could not be
    written, 2 when nothing was found or there is nowhere to write to.
    """
    instances = find_instances(paths)
    if not instances:
        stderr().print("No DICOM instances there.")
        return 2
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stderr().print(plain(f"{out} can't be made: {error.strerror}"))
        return 2
    settings = read_settings(config) if config is not None else Settings()
    with tempfile.TemporaryDirectory(prefix="cardionode-") as folder:
        private = _private(settings, Path(folder), out.absolute())
        with DataDir(Path(folder)) as data_dir, logging_to(data_dir.site_key(), "error"):
            return _process(instances, private, data_dir, out)


def _process(instances: Sequence[Path], settings: Settings, data_dir: DataDir, out: Path) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=stderr()) as bar:
        loading = bar.add_task("loading networks", total=1)
        runtime = Runtime(settings, data_dir)
        try:
            runtime.start()
            bar.update(loading, completed=1)
            row = bar.add_task("reading instances", total=len(instances))
            found = []
            for path in instances:
                found.append(take_in(path, runtime.intake))
                bar.advance(row)
            _wait_for_jobs(runtime, bar, "analysing")
            # All instances are known, so every study is complete; a quiet period tells nothing.
            runtime.ledger.complete_due_studies(0.0)
            _wait_for_jobs(runtime, bar, "reporting")
            _wait_for_deliveries(runtime)
            studies = _studies(runtime)
            counts = runtime.ledger.counts()
            failed = counts["jobs"]["failed"] + counts["deliveries"]["dead"]
            failed += sum(o.outcome.state == "failed" for study in studies for o in study.outcomes)
        finally:
            runtime.stop()
    return _tell(found, studies, out, failed)


def _private(settings: Settings, folder: Path, out: Path) -> Settings:
    """The settings with a data directory of their own and the folder as the only destination."""
    return settings.model_copy(
        update={
            "node": settings.node.model_copy(update={"data_dir": folder, "disk_reserve_mb": 0}),
            # Somebody waits for the command: a folder that can't be written to is soon given up.
            "delivery": DeliverySettings(first_retry_s=0.2, max_retry_s=1.0, give_up_after_s=10.0),
            "grouping": settings.grouping.model_copy(update={"quiet_s": _NEVER_S}),
            "destination": (FolderDestination(name="out", kind="folder", path=out),),
        }
    )


def _wait_for_jobs(runtime: Runtime, bar: Progress, what: str) -> None:
    row = bar.add_task(what, total=None)
    while True:
        jobs = runtime.ledger.counts()["jobs"]
        left = jobs["waiting"] + jobs["running"] + jobs["retry"]
        total = sum(jobs.values())
        bar.update(row, total=total, completed=total - left)
        if not left:
            return
        time.sleep(_POLL_S)


def _wait_for_deliveries(runtime: Runtime) -> None:
    while True:
        deliveries = runtime.ledger.counts()["deliveries"]
        if not deliveries["waiting"] and not deliveries["retry"]:
            return
        time.sleep(_POLL_S)


def _studies(runtime: Runtime) -> list[StudyDetail]:
    ledger = runtime.ledger
    details = [ledger.study(row.study_uid) for row in reversed(ledger.recent_studies(10_000))]
    return [detail for detail in details if detail is not None]


def _tell(found: Sequence[Found], studies: Sequence[StudyDetail], out: Path, failed: int) -> int:
    console = stdout()
    names: dict[str, list[str]] = {}
    for instance in found:
        if not instance.problem:
            names.setdefault(instance.sop_instance_uid, []).append(instance.path.name)
    console.print(outcome_table(studies, names))
    refused = [f for f in found if f.problem]
    if refused:
        rows = ((f.path.name, f.problem) for f in refused)
        console.print(table("Not taken", ("instance", "reason"), rows))
    written = sum(len(study.results) for study in studies)
    console.print(plain(f"{written} results in {out}"))
    return 1 if refused or failed else 0
