"""What a finding that needs an ECG and an X-ray tells of one study, given who is paired with whom.

The answer of a pair stands in the report of the X-ray's study. The study of the ECG gets its
capture, and a report only where one modality alone may be reported and has no partner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from node.errors import NotAnalysableError
from node.facts import Kind
from node.findings.base import Finding, Observation
from node.ledger.records import FindingOutcome, InstanceRow, Partner, StoredObject
from node.observations import from_text, to_text
from node.pairing import Role
from node.results.primitives import ImageReference

Told = tuple[InstanceRow, FindingOutcome]


@runtime_checkable
class PairFinding(Finding, Protocol):
    """A finding that joins what it learnt from two instances of different studies."""

    roles: Mapping[Kind, Role]

    def combine(
        self, xray: Observation, ecg: Observation, instance: ImageReference, distance_days: float
    ) -> Observation:
        """Join both halves.

        Parameters
        ----------
        xray, ecg
            Observations of the two.
        instance
            The ECG.
        distance_days
            From the X-ray to the ECG.

        Returns
        -------
        The observation of the X-ray with the answer of both.

        Raises
        ------
        NotAnalysableError
            They can't be joined.
        """
        ...


@dataclass(frozen=True)
class Telling:
    """What is said of one finding in one study.

    Attributes
    ----------
    told
        The study's instances with their outcomes; those that wait are not among them.
    partners
        Instances of other studies that it rests on.
    shown_on
        Captures that stand for an instance without pixels, by the instance's number.
    captures
        Those that are sent.
    """

    told: tuple[Told, ...]
    captures: tuple[StoredObject, ...]
    partners: tuple[Partner, ...] = ()
    shown_on: Mapping[int, StoredObject] = field(default_factory=dict)

    @property
    def is_report(self) -> bool:
        """Whether there is something to report, beside reasons."""
        return any(outcome.observation is not None for _, outcome in self.told)


def role_of(finding: Finding, kind: Kind) -> Role | None:
    """What an instance is to the pair that a finding needs; None for other findings."""
    return finding.roles.get(kind) if isinstance(finding, PairFinding) else None


def telling(
    finding: Finding,
    own: Iterable[Told],
    captures: Iterable[StoredObject],
    partners: Sequence[Partner],
) -> Telling:
    """Say what is told of a finding in a study.

    Parameters
    ----------
    own
        The finding's outcomes in the study.
    captures
        All that are held for the study.
    partners
        Of the study's instances.
    """
    told = [(row, o) for row, o in own if o.state in ("analysed", "not_analysed", "failed")]
    drawn = [each for each in captures if each.finding == finding.name]
    if not isinstance(finding, PairFinding):
        return Telling(tuple(told), tuple(drawn))
    uids = {row.sop_instance_uid for row, outcome in told if outcome.state == "analysed"}
    sent = tuple(each for each in drawn if each.instance_sop_uid in uids)
    kept: list[Told] = []
    used: dict[int, Partner] = {}
    shown_on: dict[int, StoredObject] = {}
    for row, outcome in told:
        paired = [p for p in partners if p.of_id == row.id and p.finding == finding.name]
        if outcome.state != "analysed":
            kept.append((row, replace(outcome, observation=None)))
        elif outcome.role is Role.XRAY:
            for partner in paired:
                outcome = joined_outcome(
                    finding, outcome, partner.outcome, partner.instance, partner.distance_days
                )
                used[partner.instance.id] = partner
            kept.append((row, outcome))
        elif not paired:
            alone = next((c for c in sent if c.instance_sop_uid == row.sop_instance_uid), None)
            kept.append((row, _on_capture(outcome, alone)))
            if alone is not None:
                shown_on[row.id] = alone
    return Telling(tuple(kept), sent, tuple(used.values()), shown_on)


def joined_outcome(
    finding: PairFinding,
    xray: FindingOutcome,
    ecg: FindingOutcome,
    instance: InstanceRow,
    distance_days: float,
) -> FindingOutcome:
    """Give the outcome of an X-ray the answer of the pair.

    Parameters
    ----------
    instance
        The ECG.
    """
    reference = ImageReference(
        instance.sop_class_uid,
        instance.sop_instance_uid,
        instance.series_instance_uid,
        instance.study_instance_uid,
    )
    try:
        observation = finding.combine(
            from_text(xray.observation), from_text(ecg.observation), reference, distance_days
        )
    except NotAnalysableError as error:
        return replace(xray, state="not_analysed", reason=str(error), observation=None)
    return replace(xray, observation=to_text(observation))


def lone_outcome(outcome: FindingOutcome) -> FindingOutcome:
    """Mark the outcome of an instance without a partner that is reported all the same."""
    if outcome.state != "analysed" or outcome.observation is None:
        return outcome
    return replace(outcome, observation=to_text({**from_text(outcome.observation), "alone": True}))


def _on_capture(outcome: FindingOutcome, capture: StoredObject | None) -> FindingOutcome:
    if capture is not None:
        return outcome
    # Without a region on an image viewers fail to open the report.
    return replace(
        outcome,
        state="not_analysed",
        reason="an ECG alone is shown on its capture, and there is none",
        observation=None,
    )
