"""The table of what was found in each instance, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from node.commands.console import table
from node.findings import FINDINGS
from node.ledger_records import ANY_FINDING, FindingOutcome, StudyDetail
from node.ledger_states import InstanceState
from node.observations import from_text

_TITLES = {finding.name: finding for finding in FINDINGS}


def outcome_table(studies: Iterable[StudyDetail], names: Mapping[str, Sequence[str]]) -> Table:
    """One row for each instance and finding.

    Parameters
    ----------
    names
        What people call the instances of a SOP Instance UID, in order of arrival.
    """
    return table(
        "What was found", ("instance", "finding", "result", "reason"), _rows(studies, names)
    )


def said(outcome: FindingOutcome) -> tuple[str, str]:
    """The result and the reason of one outcome."""
    if outcome.observation is not None and outcome.finding in _TITLES:
        return _TITLES[outcome.finding].headline(from_text(outcome.observation)), outcome.reason
    state = "not routed" if outcome.finding == ANY_FINDING else outcome.state.replace("_", " ")
    return state, outcome.reason


def _rows(
    studies: Iterable[StudyDetail], names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, str, str]]:
    left = {uid: list(known) for uid, known in names.items()}
    for study in studies:
        for instance in study.instances:
            row = instance.row
            known = left.get(row.sop_instance_uid)
            name = known.pop(0) if known else f"instance {row.id}"
            if row.state is InstanceState.QUARANTINED:
                yield name, "-", "quarantined", row.reason
                continue
            own = [o.outcome for o in study.outcomes if o.instance_id == row.id]
            for number, outcome in enumerate(own):
                title = _TITLES[outcome.finding].title if outcome.finding in _TITLES else "-"
                result, reason = said(outcome)
                yield name if number == 0 else "", title, result, reason
            if not own:
                yield name, "-", instance.disposition.state.value, instance.disposition.reason
