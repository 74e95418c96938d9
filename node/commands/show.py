"""``cardionode show``: what happened to one study, step by step, with reasons."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from node.commands.check_config import read_settings
from node.commands.console import local_time, plain, stdout, table
from node.commands.study_name import resolve_study
from node.commitment import reason_words
from node.data_dir import DataDir
from node.ledger.ledger import Ledger
from node.ledger.records import DeliveryRow, Event, PairedInstance, StudyDetail


def show(study: str, config: Path, *, as_json: bool) -> int:
    """Show one study.

    Parameters
    ----------
    study
        Its Study Instance UID, or its name in the log and on the status page.

    Returns
    -------
    The exit status: 0, or 1 when the study is unknown.
    """
    data_dir = DataDir(read_settings(config).node.data_dir)
    console = stdout()
    with Ledger.open(data_dir.ledger, read_only=True) as ledger:
        study_uid = resolve_study(study, data_dir, ledger)
        detail = ledger.study(study_uid)
        events = ledger.events(study_uid)
    if detail is None:
        console.print(plain("The node has no such study."))
        return 1
    if as_json:
        shown = {**asdict(detail), "events": [asdict(event) for event in events]}
        console.print(plain(json.dumps(shown)), soft_wrap=True)
        return 0
    for part in _tables(detail, events):
        console.print()
        console.print(part)
    return 0


def _tables(detail: StudyDetail, events: list[Event]) -> list[Table]:
    return [
        _study(detail, events),
        _instances(detail),
        _outcomes(detail),
        *([_pairings(detail)] if detail.pairings else []),
        _jobs(detail),
        _deliveries(detail),
        _steps(events),
    ]


def _steps(events: list[Event]) -> Table:
    rows = []
    before = None
    for each in events:
        later = "" if before is None else f"+{each.at - before:.1f} s"
        rows.append((local_time(each.at), later, each.subject, each.what, each.detail))
        before = each.at
    return table("Step by step", ("when", "later", "what", "became", "because"), rows)


def _study(detail: StudyDetail, events: list[Event]) -> Table:
    study = detail.study
    rows: list[tuple[str, object]] = [
        ("state", study.state.value),
        ("reports", study.revision or "none yet"),
        (
            "arrivals",
            f"{local_time(study.first_arrival_at)} to {local_time(study.last_arrival_at)}",
        ),
        ("complete", local_time(study.completed_at)),
    ]
    deaths = sum(each.subject == "node" and each.what == "died" for each in events)
    if deaths:
        times = "once" if deaths == 1 else f"{deaths} times"
        rows.append(("node", f"died {times} meanwhile; the steps below tell what was cut off"))
    if study.identity_conflict:
        rows.append(("identity", "instances of more than one patient: no report is made"))
    return table(f"Study {study.study_uid}", ("", ""), rows)


def _instances(detail: StudyDetail) -> Table:
    rows = []
    for each in detail.instances:
        row = each.row
        remarks = [each.disposition.reason]
        if row.conflict:
            remarks.append("its UID was here before with other bytes")
        said = "; ".join(remark for remark in remarks if remark)
        rows.append(
            (
                row.id,
                row.modality,
                row.sop_instance_uid,
                row.state.value,
                each.disposition.state,
                said,
            )
        )
    return table("Instances", ("", "modality", "instance", "is", "way ended", "because"), rows)


def _outcomes(detail: StudyDetail) -> Table:
    rows = [
        (
            each.instance_id,
            each.outcome.finding,
            each.outcome.state.replace("_", " "),
            each.reported_in or "-",
            each.outcome.reason,
        )
        for each in detail.outcomes
    ]
    return table("Findings", ("instance", "finding", "outcome", "report", "because"), rows)


def _pairings(detail: StudyDetail) -> Table:
    rows = [
        (
            each.id,
            each.finding,
            each.state.value,
            _side(each.xray, detail),
            _side(each.ecg, detail),
            "-" if each.distance_days is None else f"{each.distance_days:+.1f} days",
            each.reason,
        )
        for each in detail.pairings
    ]
    columns = ("", "finding", "is", "X-ray", "ECG", "ECG after X-ray", "because")
    return table("Pairings", columns, rows)


def _side(instance: PairedInstance | None, detail: StudyDetail) -> str:
    if instance is None:
        return "-"
    elsewhere = instance.study_uid != detail.study.study_uid
    return f"instance {instance.instance_id}" + (
        f" of study {instance.study_uid}" if elsewhere else ""
    )


def _jobs(detail: StudyDetail) -> Table:
    rows = [
        (
            each.id,
            each.kind.value,
            f"instance {each.instance_id}" if each.instance_id else f"revision {each.revision}",
            each.state.value.replace("_", " "),
            each.attempt,
            each.reason,
        )
        for each in detail.jobs
    ]
    return table("Jobs", ("", "kind", "of", "state", "attempts", "because"), rows)


def _deliveries(detail: StudyDetail) -> Table:
    rows = [
        (
            each.id,
            each.destination,
            f"{each.object.finding} {each.object.kind}",
            each.object.sop_instance_uid,
            each.state.value,
            each.attempt,
            _commitment(each),
            each.reason,
        )
        for each in detail.deliveries
    ]
    columns = ("", "to", "object", "instance", "state", "attempts", "commitment", "last answer")
    return table("Deliveries", columns, rows)


def _commitment(delivery: DeliveryRow) -> str:
    commitment = delivery.commitment
    if commitment is None:
        return "-"
    said = f"{commitment.state.value}, asked {local_time(commitment.asked_at)}"
    if commitment.failure_reason is not None:
        said += f", {reason_words(commitment.failure_reason)}"
    if delivery.commit_failures:
        said += f", {delivery.commit_failures} in vain"
    return said
