"""The rows of a patient's pairings, and the instances that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, exists, insert, select, text, update

from node.ledger.rows import Row
from node.ledger.states import JobKind, PairingState
from node.ledger.tables import (
    PAIRING_LIVE,
    instances,
    jobs,
    outcomes,
    pairings,
    studies,
    unfinished_job,
)
from node.ledger.writer import Transaction
from node.pairing import Candidate, PairingRule, Role, distance_days, distance_words

#: What an instance of each role waits for.
PARTNERS = {Role.ECG: "a chest X-ray", Role.XRAY: "an ECG"}
_SIDES = (("X-ray instance", "xray_id"), ("ECG instance", "ecg_id"))


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance with a role, and the outcome that gave it; None while it is analysed again."""

    finding: str
    role: Role
    candidate: Candidate
    study_uid: str
    received_at: float
    outcome: Row | None


#: By finding and number of the instance.
ByInstance = dict[tuple[str, int], Seen]


def candidates(tx: Transaction, where: Any) -> ByInstance:
    """The instances with a role to which a condition on instances and studies applies."""
    query: Select[Any] = (
        select(
            outcomes,
            instances.c.sop_instance_uid,
            instances.c.birth_key,
            instances.c.acquired_at,
            instances.c.received_at,
            studies.c.patient_key,
        )
        .join(instances, instances.c.id == outcomes.c.instance_id)
        .join(studies, studies.c.study_uid == instances.c.study_instance_uid)
        .where(outcomes.c.role.is_not(None), where)
        .order_by(instances.c.id)
    )
    found = tx.connection.execute(query).mappings()
    return {
        (row["finding"], row["instance_id"]): Seen(
            row["finding"], Role(row["role"]), _candidate(row, row["instance_id"]),
            row["study_uid"], row["received_at"], row,
        )
        for row in found
    }  # fmt: skip


def in_analysis(tx: Transaction, live: Sequence[Row], known: ByInstance) -> ByInstance:
    """Instances of pairings that are analysed again keep their place meanwhile."""
    found: ByInstance = {}
    for row in live:
        for role, column in ((Role.XRAY, "xray_id"), (Role.ECG, "ecg_id")):
            key = (row["finding"], row[column])
            if row[column] is None or key in known or key in found:
                continue
            again = exists().where(
                jobs.c.instance_id == instances.c.id,
                jobs.c.kind == JobKind.ANALYSE,
                unfinished_job(),
            )
            instance = tx.connection.execute(
                select(instances, studies.c.patient_key)
                .join(studies, studies.c.study_uid == instances.c.study_instance_uid)
                .where(
                    instances.c.id == row[column],
                    studies.c.patient_key == row["patient_key"],
                    studies.c.identity_conflict.is_(False),
                    again,
                )
            )
            each = instance.mappings().first()
            if each is not None:
                found[key] = Seen(
                    row["finding"], role, _candidate(each, each["id"]),
                    each["study_instance_uid"], each["received_at"], None,
                )  # fmt: skip
    return found


def _candidate(row: Row, instance_id: int) -> Candidate:
    return Candidate(
        instance_id,
        row["patient_key"],
        row["birth_key"],
        row["acquired_at"],
        row["sop_instance_uid"],
    )


def live_rows(tx: Transaction, where: Any) -> list[Row]:
    """The pairings that hold, oldest first."""
    query = select(pairings).where(where, text(f"pairings.{PAIRING_LIVE}")).order_by(pairings.c.id)
    return list(tx.connection.execute(query).mappings().all())


@dataclass
class PatientRows:
    """The live rows of one finding and patient while they are brought up to date."""

    tx: Transaction
    finding: str
    rule: PairingRule
    live: list[Row] = field(default_factory=list)

    def of_xray(self, instance_id: int) -> Row | None:
        """The one row of an X-ray."""
        return next((row for row in self.live if row["xray_id"] == instance_id), None)

    def of_lone_ecg(self, instance_id: int) -> Row | None:
        """The row of an ECG that is nobody's partner."""
        lone = (row for row in self.live if row["xray_id"] is None)
        return next((row for row in lone if row["ecg_id"] == instance_id), None)

    def partners_of_ecg(self, instance_id: int) -> list[Row]:
        """The rows of the X-rays that an ECG is the partner of."""
        return [
            row for row in self.live if row["xray_id"] is not None and row["ecg_id"] == instance_id
        ]

    def supersede(self, row: Row, why: str) -> None:
        """End a row."""
        self.move(row, PairingState.SUPERSEDED, why)

    def move(self, row: Row, state: PairingState, reason: str, **values: Any) -> None:
        """Change a row, and tell both studies."""
        values |= {"state": state, "reason": reason, "changed_at": self.tx.now}
        self.tx.connection.execute(
            update(pairings).where(pairings.c.id == row["id"]).values(**values)
        )
        changed = {**row, **values}
        self.live = [each for each in self.live if each["id"] != row["id"]]
        if state is not PairingState.SUPERSEDED:
            self.live.append(changed)
        self._tell(changed)

    def wait(self, seen: Seen) -> None:
        """Make the row of an instance without a partner."""
        side = "xray" if seen.role is Role.XRAY else "ecg"
        within = f"within {self.rule.window_days:g} days"
        self._add(
            seen,
            PairingState.WAITING,
            f"waits for {PARTNERS[seen.role]} {within}",
            {f"{side}_id": seen.candidate.instance_id, f"{side}_study_uid": seen.study_uid},
        )

    def pair(self, xray: Seen, ecg: Seen) -> None:
        """Make two instances a pair, in the row of the one that waited where there is one."""
        days = distance_days(ecg.candidate, xray.candidate)
        values = {
            "xray_id": xray.candidate.instance_id,
            "xray_study_uid": xray.study_uid,
            "ecg_id": ecg.candidate.instance_id,
            "ecg_study_uid": ecg.study_uid,
            "distance_days": days,
        }
        words = distance_words(days or 0.0, Role.ECG)
        own = self.of_xray(xray.candidate.instance_id)
        lone = self.of_lone_ecg(ecg.candidate.instance_id)
        if own is not None and lone is not None:
            self.supersede(lone, f"it is part of pairing {own['id']}")
        if (row := own or lone) is not None:
            self.move(row, PairingState.PAIRED, words, **values)
        else:
            self._add(xray, PairingState.PAIRED, words, values)

    def _add(self, seen: Seen, state: PairingState, reason: str, values: dict[str, Any]) -> None:
        values = {
            "finding": self.finding,
            "patient_key": seen.candidate.patient_key,
            "xray_id": None,
            "xray_study_uid": None,
            "ecg_id": None,
            "ecg_study_uid": None,
            "distance_days": None,
            "state": state,
            "created_at": self.tx.now,
            "changed_at": self.tx.now,
            "expires_at": seen.received_at + self.rule.expire_after_s,
            "reason": reason,
            **values,
        }
        added = self.tx.connection.execute(insert(pairings).values(**values))
        (row_id,) = added.inserted_primary_key or (0,)
        row = {**values, "id": row_id}
        self.live.append(row)
        self._tell(row)

    def _tell(self, row: Row) -> None:
        sides = [f"{side} {row[column]}" for side, column in _SIDES if row[column] is not None]
        detail = f"{' and '.join(sides)}: {row['reason']}"
        for study_uid in dict.fromkeys((row["xray_study_uid"], row["ecg_study_uid"])):
            if study_uid is not None:
                self.tx.event(study_uid, f"pairing {row['id']}", row["state"], detail)
