"""Decides where an instance's way through the node ended, from what the ledger holds about it."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.records import (
    DeliveryRow,
    Disposition,
    InstanceRow,
    JobRow,
    OutcomeRow,
    ResultRow,
    StudyRow,
)
from node.ledger.states import DeliveryState, DispositionState, InstanceState, JobKind, JobState

_JOB_WORDS = {
    JobState.WAITING: "waits for a worker",
    JobState.RUNNING: "is running",
    JobState.RETRY: "will be tried again",
}


def disposition(
    instance: InstanceRow,
    study: StudyRow,
    outcomes: Sequence[OutcomeRow],
    jobs: Sequence[JobRow],
    results: Sequence[ResultRow],
    deliveries: Sequence[DeliveryRow],
) -> Disposition:
    """Say which of the visible end states an instance is in, or that it is still on its way.

    Parameters
    ----------
    outcomes, jobs, results, deliveries
        All of the instance's study, in order of their making.
    """
    if instance.state is InstanceState.QUARANTINED:
        return Disposition(DispositionState.QUARANTINED, instance.reason)
    if instance.state is InstanceState.RECEIVED:
        analyses = [job for job in jobs if job.instance_id == instance.id]
        return _of_job(analyses[-1] if analyses else None, "the analysis")
    own = [each for each in outcomes if each.instance_id == instance.id]
    applying = [each for each in own if each.outcome.state != "not_applicable"]
    if not applying:
        reasons = dict.fromkeys(each.outcome.reason for each in own if each.outcome.reason)
        return Disposition(DispositionState.NO_ROUTE, "; ".join(reasons) or "no finding applies")
    if study.identity_conflict:
        return Disposition(
            DispositionState.QUARANTINED, "instances of more than one patient claim this study"
        )
    told = [each for each in applying if each.outcome.state != "waiting"]
    if not told:
        reasons = dict.fromkeys(each.outcome.reason for each in applying)
        return Disposition(DispositionState.PENDING, "; ".join(reasons))
    if all(each.outcome.state == "failed" for each in told):
        reasons = dict.fromkeys(each.outcome.reason for each in told)
        return Disposition(DispositionState.FAILED, "; ".join(reasons))
    revision = told[0].reported_in
    if revision is None:
        reports = [job for job in jobs if job.kind is JobKind.REPORT and _to_come(job, study)]
        return _of_job(reports[-1] if reports else None, "the report")
    return _of_deliveries(_about(instance, revision, results, deliveries))


def _to_come(job: JobRow, study: StudyRow) -> bool:
    return job.revision > study.revision and job.state is not JobState.NOT_APPLICABLE


def _of_job(job: JobRow | None, name: str) -> Disposition:
    if job is None:
        return Disposition(DispositionState.PENDING, f"{name} waits for the study to be complete")
    if job.state is JobState.FAILED:
        return Disposition(DispositionState.FAILED, f"{name} was given up: {job.reason}")
    words = _JOB_WORDS.get(job.state, "is done")
    because = f": {job.reason}" if job.reason else ""
    return Disposition(DispositionState.PENDING, f"{name} {words}{because}")


def _about(
    instance: InstanceRow,
    revision: int,
    results: Sequence[ResultRow],
    deliveries: Sequence[DeliveryRow],
) -> list[DeliveryRow]:
    # Reports cover every instance of their revision; a capture only the one it was made from.
    objects = {
        each.object.sop_instance_uid
        for each in results
        if each.revision == revision
        and each.object.instance_sop_uid in (None, instance.sop_instance_uid)
    }
    return [each for each in deliveries if each.object.sop_instance_uid in objects]


def _of_deliveries(deliveries: Sequence[DeliveryRow]) -> Disposition:
    dead = [each for each in deliveries if each.state is DeliveryState.DEAD]
    if dead:
        reason = f"the delivery to {dead[0].destination} was given up: {dead[0].reason}"
        return Disposition(DispositionState.FAILED, reason)
    for each in deliveries:
        if each.state in (DeliveryState.WAITING, DeliveryState.RETRY):
            because = f": {each.reason}" if each.reason else ""
            reason = f"the delivery to {each.destination} is not done{because}"
            return Disposition(DispositionState.PENDING, reason)
    if not deliveries:
        return Disposition(DispositionState.NO_ROUTE, "the report has nowhere to go")
    destinations = ", ".join(dict.fromkeys(each.destination for each in deliveries))
    return Disposition(DispositionState.SENT, f"reported to {destinations}")
