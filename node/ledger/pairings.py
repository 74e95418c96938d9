"""Changes to pairings: analyses, conflicts and the clock make them; reports of studies follow.

The rows of a patient are always what :mod:`node.pairing` says of the instances that are there, so
that the order in which they came leaves no trace in them. Every function runs in the transaction
of the change that made it necessary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import and_, or_, select, text, update

from node.ledger.pairing_rows import (
    PARTNERS,
    PatientRows,
    Seen,
    candidates,
    in_analysis,
    live_rows,
)
from node.ledger.rows import Row
from node.ledger.states import PairingState
from node.ledger.studies import reopen
from node.ledger.tables import PAIRING_LIVE, instances, outcomes, pairings, studies
from node.ledger.writer import Transaction
from node.pairing import PairingRule, Role, choose_ecg, distance_words, obstacle

_NEARER = "another ECG is nearer"
_GONE = "the ECG that it was paired with no longer counts"
_NOT_ANALYSED = "it is no longer an analysed instance of this patient"


def pair_instance(tx: Transaction, rule: PairingRule, instance_id: int) -> None:
    """Pair anew after an analysis of an instance has ended, with or without outcomes."""
    own = select(outcomes.c.id).where(
        outcomes.c.instance_id == instance_id, outcomes.c.role.is_not(None)
    )
    paired = select(pairings.c.id).where(
        or_(pairings.c.xray_id == instance_id, pairings.c.ecg_id == instance_id),
        text(f"pairings.{PAIRING_LIVE}"),
    )
    if not any(tx.connection.execute(query.limit(1)).first() for query in (own, paired)):
        return
    study = tx.connection.execute(
        select(studies.c.patient_key, studies.c.identity_conflict)
        .join(instances, instances.c.study_instance_uid == studies.c.study_uid)
        .where(instances.c.id == instance_id)
    ).one()
    if study.patient_key and not study.identity_conflict:
        pair_patient(tx, rule, study.patient_key, fresh=instance_id)
        return
    alone = candidates(tx, instances.c.id == instance_id)
    for (finding, _), seen in alone.items():
        _tell_outcome(tx, PatientRows(tx, finding, rule), seen)


def pair_patient(
    tx: Transaction, rule: PairingRule, patient_key: str, fresh: int | None = None
) -> None:
    """Make the pairings of a patient what the instances say that are analysed now.

    Parameters
    ----------
    fresh
        An instance that was just analysed: reports that it is a partner in are made again.
    """
    live = live_rows(tx, pairings.c.patient_key == patient_key)
    seen = candidates(
        tx,
        and_(studies.c.patient_key == patient_key, studies.c.identity_conflict.is_(False)),
    )
    seen |= in_analysis(tx, live, seen)
    findings = {finding for finding, _ in seen} | {row["finding"] for row in live}
    for finding in sorted(findings):
        rows = PatientRows(tx, finding, rule, [row for row in live if row["finding"] == finding])
        _pair(tx, rule, rows, [each for (name, _), each in seen.items() if name == finding], fresh)


def expire_pairings(tx: Transaction, rule: PairingRule) -> int:
    """Give up waiting for partners that did not come in time.

    Returns
    -------
    How many rows expired.
    """
    due = tx.connection.execute(
        select(pairings)
        .where(text("pairings.state = 'waiting'"), pairings.c.expires_at <= tx.now)
        .order_by(pairings.c.expires_at, pairings.c.id)
    )
    expired = due.mappings().all()
    for row in expired:
        role = Role.XRAY if row["xray_id"] is not None else Role.ECG
        why = (
            f"{PARTNERS[role]} within {rule.window_days:g} days did not come "
            f"in {rule.expire_after_days:g} days"
        )
        rows = PatientRows(tx, row["finding"], rule, [row])
        rows.move(row, PairingState.EXPIRED, why)
        instance_id = row["xray_id"] if role is Role.XRAY else row["ecg_id"]
        for seen in candidates(tx, instances.c.id == instance_id).values():
            if seen.finding == row["finding"]:
                _tell_outcome(tx, rows, seen)
    return len(expired)


def _pair(
    tx: Transaction, rule: PairingRule, rows: PatientRows, seen: Iterable[Seen], fresh: int | None
) -> None:
    """Bring one finding's rows of a patient up to date, then the outcomes of its instances."""
    able = [each for each in seen if not obstacle(each.candidate)]
    xrays = {each.candidate.instance_id: each for each in able if each.role is Role.XRAY}
    ecgs = {each.candidate.instance_id: each for each in able if each.role is Role.ECG}
    chosen = {number: _choose(xray, ecgs, rule) for number, xray in xrays.items()}
    changed = _drop_outdated(rows, xrays, ecgs, chosen)
    for number, xray in xrays.items():
        row, ecg = rows.of_xray(number), chosen[number]
        if ecg is None:
            if row is None:
                rows.wait(xray)
        elif row is None or row["state"] != PairingState.PAIRED:
            rows.pair(xray, ecg)
            changed.add(number)
        elif fresh == ecg.candidate.instance_id:
            changed.add(number)  # the same ECG, read again
    for number, spare in ecgs.items():
        if not rows.partners_of_ecg(number) and rows.of_lone_ecg(number) is None:
            rows.wait(spare)
    for each in seen:
        _tell_outcome(tx, rows, each, anew=each.candidate.instance_id in changed)


def _choose(xray: Seen, ecgs: Mapping[int, Seen], rule: PairingRule) -> Seen | None:
    ecg = choose_ecg(xray.candidate, (each.candidate for each in ecgs.values()), rule)
    return None if ecg is None else ecgs[ecg.instance_id]


def _drop_outdated(
    rows: PatientRows,
    xrays: Mapping[int, Seen],
    ecgs: Mapping[int, Seen],
    chosen: Mapping[int, Seen | None],
) -> set[int]:
    """End the rows that hold no longer; return the X-rays that lose their partner by it."""
    lost: set[int] = set()
    for row in list(rows.live):
        xray_id, ecg_id = row["xray_id"], row["ecg_id"]
        if xray_id is None:
            if ecg_id not in ecgs:
                rows.supersede(row, _NOT_ANALYSED)
        elif xray_id not in xrays:
            rows.supersede(row, _NOT_ANALYSED)
        elif ecg_id is not None:
            partner = chosen[xray_id]
            if partner is None or partner.candidate.instance_id != ecg_id:
                rows.supersede(row, _NEARER if ecg_id in ecgs else _GONE)
                lost.add(xray_id)
    return lost


def _tell_outcome(tx: Transaction, rows: PatientRows, seen: Seen, *, anew: bool = False) -> None:
    """Make an instance's outcome say what its pairing is; its study is opened if that is news.

    Parameters
    ----------
    anew
        It has another partner than before, or none any more.
    """
    outcome = seen.outcome
    if outcome is None:
        return
    judged = _judge(rows, seen, outcome, anew)
    if judged is None:
        return
    state, words = judged
    reason = "; ".join(part for part in (words, outcome["notes"]) if part)
    reported_in = None if anew or state != outcome["state"] else outcome["reported_in"]
    values = {"state": state, "reason": reason, "reported_in": reported_in}
    if all(outcome[name] == value for name, value in values.items()):
        return
    tx.connection.execute(update(outcomes).where(outcomes.c.id == outcome["id"]).values(**values))
    if reported_in is None and state in ("analysed", "not_analysed"):
        reopen(tx, seen.study_uid, f"the pairing of instance {seen.candidate.instance_id} changed")


def _judge(rows: PatientRows, seen: Seen, outcome: Row, anew: bool) -> tuple[str, str] | None:
    """State of an outcome, and the words for it; None for one that has no part in pairing."""
    number, alone = seen.candidate.instance_id, bool(outcome["alone"])
    why_not = obstacle(seen.candidate)
    if why_not:
        return ("analysed" if alone else "not_analysed"), why_not
    if seen.role is Role.ECG:
        partners = rows.partners_of_ecg(number)
        if partners:
            nearest = min(partners, key=lambda row: abs(row["distance_days"]))
            return "analysed", f"paired with {distance_words(nearest['distance_days'], Role.XRAY)}"
        row = rows.of_lone_ecg(number)
    else:
        row = rows.of_xray(number)
    if row is None:
        return None
    if row["state"] == PairingState.PAIRED:
        return "analysed", f"paired with {distance_words(row['distance_days'], Role.ECG)}"
    if alone:
        return "analysed", f"alone: {row['reason']}"
    if row["state"] == PairingState.EXPIRED:
        # An ECG is asked nothing by itself; an X-ray is, and its study gets the reason.
        return ("not_analysed" if seen.role is Role.XRAY else "not_applicable"), row["reason"]
    told = seen.role is Role.XRAY and outcome["reported_in"] is not None
    if (anew and told) or outcome["reason"].startswith(_GONE):
        return "not_analysed", f"{_GONE}; {row['reason']}"
    return "waiting", row["reason"]
