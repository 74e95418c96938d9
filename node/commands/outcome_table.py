"""The table of what was found in each instance, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from node.commands.console import table
from node.findings import FINDINGS
from node.ledger.records import ANY_FINDING, FindingOutcome, StudyDetail
from node.ledger.states import InstanceState, PairingState
from node.observations import from_text
from node.pairs import PairFinding, joined_outcome, lone_outcome

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
    read = outcome.observation is not None and outcome.state in ("analysed", "waiting")
    if read and outcome.finding in _TITLES:
        return _TITLES[outcome.finding].headline(from_text(outcome.observation)), outcome.reason
    unrouted = outcome.finding == ANY_FINDING and outcome.state == "not_applicable"
    state = "not routed" if unrouted else outcome.state.replace("_", " ")
    return state, outcome.reason


def joined_outcomes(studies: Sequence[StudyDetail]) -> dict[tuple[int, str], FindingOutcome]:
    """Return what pairings make of their instances' outcomes, by instance and finding."""
    found = {
        (each.instance_id, each.outcome.finding): each.outcome
        for study in studies
        for each in study.outcomes
    }
    rows = {each.row.id: each.row for study in studies for each in study.instances}
    joined = {}
    for pairing in (each for study in studies for each in study.pairings):
        finding = _TITLES.get(pairing.finding)
        if pairing.state is PairingState.SUPERSEDED or not isinstance(finding, PairFinding):
            continue
        keys = [(s.instance_id, finding.name) for s in (pairing.xray, pairing.ecg) if s is not None]
        halves = [found[key] for key in keys if key in found]
        if len(halves) == 2 and pairing.distance_days is not None:
            xray, ecg = halves
            partner = rows[keys[1][0]]
            joined[keys[0]] = joined_outcome(finding, xray, ecg, partner, pairing.distance_days)
        elif len(keys) == len(halves) == 1:
            joined[keys[0]] = lone_outcome(halves[0])
    return joined


def _rows(
    studies: Iterable[StudyDetail], names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, str, str]]:
    left = {uid: list(known) for uid, known in names.items()}
    studies = list(studies)
    joined = joined_outcomes(studies)
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
                result, reason = said(joined.get((row.id, outcome.finding), outcome))
                yield name if number == 0 else "", title, result, reason
            if not own:
                yield name, "-", instance.disposition.state.value, instance.disposition.reason
