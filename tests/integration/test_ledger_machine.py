"""Any order of arrivals, claims, losses and restarts: nothing is lost, nothing counts twice."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.errors import LeaseLostError
from node.ledger.ledger import Ledger
from node.ledger.records import (
    Arrival,
    Delivery,
    FindingOutcome,
    Job,
    OutcomeState,
    StoredObject,
    StudyDetail,
)
from node.ledger.states import (
    ArrivalOutcome,
    DeliveryState,
    InstanceState,
    JobKind,
    JobState,
    StudyState,
)

STUDIES = ("1.1", "1.2", "1.3")
FINDINGS = ("echo_view", "ejection_fraction")
DESTINATIONS = ("pacs", "archive")
LEASE_S = 30.0
QUIET_S = 10.0

_STATES = {*InstanceState, *JobState, *DeliveryState, *StudyState}


def _object(kind: str, finding: str, uid: str, study: str, source: str | None) -> StoredObject:
    return StoredObject(
        kind="sr" if kind == "sr" else "capture",
        finding=finding,
        sop_class_uid="1.2",
        sop_instance_uid=uid,
        series_instance_uid="1.3",
        study_instance_uid=study,
        series_number=1,
        sha256="00",
        size_bytes=1,
        path="x",
        instance_sop_uid=source,
    )


class LedgerMachine(RuleBasedStateMachine):
    """Drives a real ledger with a virtual clock beside a small model of what it must remember."""

    jobs = Bundle("jobs")
    deliveries = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.now = 1_000_000.0
        self.ledger = Ledger.open(self.path, lambda: self.now)
        self.acknowledged: set[tuple[str, str]] = set()
        #: Fence of the claim that counts, by job; any other claim is stale.
        self.running: dict[int, int] = {}
        #: The same by delivery, with the end of its lease.
        self.sending: dict[int, tuple[int, float]] = {}
        self.sent: Counter[tuple[str, str]] = Counter()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    # ---- what happens

    @rule(
        study=st.sampled_from(STUDIES),
        number=st.integers(1, 4),
        content=st.sampled_from("aab"),
        kind=st.sampled_from(("plain", "plain", "plain", "own", "bad")),
    )
    def arrive(self, study: str, number: int, content: str, kind: str) -> None:
        uid, sha256 = f"{study}.{number}", f"{study}.{number}.{content}"
        known = {sha for sop_uid, sha in self.acknowledged if sop_uid == uid}
        outcome = self.ledger.record_arrival(
            Arrival(
                sha256=sha256,
                size_bytes=1,
                sop_class_uid="1.2",
                sop_instance_uid=uid,
                series_instance_uid="1.3",
                study_instance_uid=study,
                transfer_syntax_uid="1.4",
                modality="US",
                # One study only: with two patients it is dead for the rest of the run.
                patient_key="bb" if study == "1.3" and number > 2 else "aa",
                calling_ae_title="ECHO",
                own_result=kind == "own",
            ),
            "bad" if kind == "bad" else None,
        )
        if sha256 in known:
            assert outcome is ArrivalOutcome.DUPLICATE
        else:
            assert outcome is (ArrivalOutcome.CONFLICT if known else ArrivalOutcome.STORED)
        self.acknowledged.add((uid, sha256))
        self._drop_stopped_work()

    @rule(target=jobs)
    def claim_job(self) -> object:
        job = self.ledger.claim_job("worker", LEASE_S)
        if job is None:
            return multiple()
        assert job.id not in self.running
        detail = self._detail(job.study_uid)
        if job.kind is JobKind.REPORT:
            assert not detail.study.identity_conflict
            assert detail.study.state is StudyState.COMPLETE
        elif job.instance is None or job.instance.conflict or job.instance.own_result:
            pytest.fail("this instance needs no analysis")
        self.running[job.id] = job.fence
        return job

    @rule(
        job=jobs,
        states=st.lists(
            st.sampled_from(("analysed", "not_applicable", "not_analysed", "failed")),
            min_size=len(FINDINGS),
            max_size=len(FINDINGS),
        ),
    )
    def finish(self, job: Job, states: list[OutcomeState]) -> None:
        if job.instance is None:
            objects = [
                *self.ledger.study_captures(job.study_uid),
                *(self._report(job, finding) for finding in FINDINGS),
            ]
            self._end(job, lambda: self.ledger.finish_report(job, objects, DESTINATIONS))
            return
        source = job.instance.sop_instance_uid
        outcomes = [
            FindingOutcome(finding, state, "" if state == "analysed" else "why")
            for finding, state in zip(FINDINGS, states, strict=True)
        ]
        made = [_object("capture", "echo_view", f"{source}.9", job.study_uid, source)]
        self._end(job, lambda: self.ledger.finish_analysis(job, outcomes, made))

    @rule(job=jobs, how=st.sampled_from(("quarantine", "retry", "fail")))
    def fail(self, job: Job, how: str) -> None:
        if how == "quarantine" and job.instance is not None:
            self._end(job, lambda: self.ledger.quarantine(job, "bad pixels"))
        else:
            at = None if how == "fail" else self.now + 5
            self._end(job, lambda: self.ledger.fail_job(job, "died", at))

    @rule()
    def a_good_day(self) -> None:
        """Everything that is due works, up to the deliveries; single rules alone rarely do."""
        self._work()
        self.now += QUIET_S
        self.complete()
        self._work()

    @rule(destination=st.sampled_from(DESTINATIONS), most=st.integers(1, 9))
    def a_good_sender(self, destination: str, most: int) -> None:
        for _ in range(most):
            delivery = self.claim_delivery(destination)
            if not isinstance(delivery, Delivery):
                return
            self.end_delivery(delivery, "sent")

    @rule(job=jobs)
    def heartbeat(self, job: Job) -> None:
        if self.running.get(job.id) == job.fence:
            self.ledger.heartbeat(job, LEASE_S)
        else:
            with pytest.raises(LeaseLostError):
                self.ledger.heartbeat(job, LEASE_S)

    @rule(target=deliveries, destination=st.sampled_from(DESTINATIONS))
    def claim_delivery(self, destination: str) -> object:
        delivery = self.ledger.claim_delivery(destination, LEASE_S)
        if delivery is None:
            return multiple()
        assert delivery.id not in self.sending
        assert not self._detail(delivery.object.study_instance_uid).study.identity_conflict
        self.sending[delivery.id] = (delivery.fence, self.now + LEASE_S)
        return delivery

    @rule(delivery=deliveries, how=st.sampled_from(("sent", "sent", "retry", "dead")))
    def end_delivery(self, delivery: Delivery, how: str) -> None:
        def end() -> None:
            if how == "sent":
                self.ledger.delivery_sent(delivery, "0x0000")
            elif how == "retry":
                self.ledger.delivery_retry(delivery, "busy", self.now + 5, permanent=False)
            else:
                self.ledger.delivery_dead(delivery, "refused")

        if self.sending.get(delivery.id, (0, 0.0))[0] == delivery.fence:
            end()
            del self.sending[delivery.id]
            if how == "sent":
                self.sent[delivery.object.sop_instance_uid, delivery.destination] += 1
        else:
            self._changes_nothing(delivery.object.study_instance_uid, end)

    @rule(seconds=st.sampled_from((1.0, 6.0, 11.0, 31.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def complete(self) -> None:
        due = self.ledger.complete_due_studies(QUIET_S)
        assert all(self._detail(each).study.state is StudyState.COMPLETE for each in due)

    @rule()
    def watchdog(self) -> None:
        self.ledger.requeue_expired_leases()
        self.sending = {each: it for each, it in self.sending.items() if it[1] >= self.now}
        self._drop_stopped_work()

    @rule(study=st.sampled_from(STUDIES))
    def replay(self, study: str) -> None:
        self.ledger.replay(study)
        self._drop_stopped_work()

    @rule()
    def retry_dead(self) -> None:
        self.ledger.retry_dead()
        self._drop_stopped_work()

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.path, lambda: self.now)
        self.ledger.recover()
        self.running.clear()
        self.sending.clear()

    # ---- what must hold

    @invariant()
    def acknowledged_instances_are_there_once(self) -> None:
        stored = [
            (each.row.sop_instance_uid, each.row.sha256)
            for detail in self._details()
            for each in detail.instances
        ]
        assert sorted(stored) == sorted(self.acknowledged)
        assert sum(self.ledger.counts()["instances"].values()) == len(stored)

    @invariant()
    def an_unsettled_instance_has_work_that_will_settle_it(self) -> None:
        for detail in self._details():
            unfinished = {
                job.instance_id
                for job in detail.jobs
                if job.state in (JobState.WAITING, JobState.RUNNING, JobState.RETRY)
            }
            for each in detail.instances:
                if each.disposition.state == "pending" and each.row.state == "received":
                    assert each.row.id in unfinished
                elif each.disposition.state == "pending":
                    assert (
                        detail.study.state is StudyState.OPEN
                        or None in unfinished
                        or "delivery" in each.disposition.reason
                    )
                else:
                    assert each.disposition.reason

    @invariant()
    def one_report_per_study_revision_and_finding(self) -> None:
        for detail in self._details():
            reports = Counter(
                (each.revision, each.object.finding)
                for each in detail.results
                if each.object.kind == "sr"
            )
            assert all(count == 1 for count in reports.values())
            assert {revision for revision, _ in reports} == set(range(1, detail.study.revision + 1))
        assert all(count == 1 for count in self.sent.values())

    @invariant()
    def events_tell_every_state(self) -> None:
        for detail in self._details():
            told = {
                each.subject: each.what
                for each in self.ledger.events(detail.study.study_uid)
                if each.what in _STATES
            }
            states = {"study": detail.study.state.value}
            states |= {f"instance {i.row.id}": i.row.state.value for i in detail.instances}
            states |= {f"{job.kind} job {job.id}": job.state.value for job in detail.jobs}
            states |= {
                f"delivery {each.id} to {each.destination}": each.state.value
                for each in detail.deliveries
            }
            assert told == states

    @precondition(lambda self: self.running)
    @invariant()
    def the_model_and_the_ledger_agree_on_what_runs(self) -> None:
        running = {
            job.id
            for detail in self._details()
            for job in detail.jobs
            if job.state is JobState.RUNNING
        }
        assert running == set(self.running)

    # ---- how it is driven

    def _work(self) -> None:
        while isinstance(job := self.claim_job(), Job):
            self.finish(job, ["analysed", "not_applicable"])

    def _end(self, job: Job, end: Callable[[], None]) -> None:
        if self.running.get(job.id) == job.fence:
            end()
            del self.running[job.id]
        else:
            self._changes_nothing(job.study_uid, end)

    def _changes_nothing(self, study: str, change: Callable[[], None]) -> None:
        before = (self._detail(study), self.ledger.events(study))
        with pytest.raises(LeaseLostError):
            change()
        assert (self._detail(study), self.ledger.events(study)) == before

    def _report(self, job: Job, finding: str) -> StoredObject:
        # As the node derives it: from the study, the finding and the set of analysed inputs.
        inputs = sorted(
            instance.sha256
            for instance, outcome in self.ledger.study_outcomes(job.study_uid)
            if outcome.finding == finding
        )
        uid = f"{job.study_uid}|{finding}|{','.join(inputs)}"
        return _object("sr", finding, uid, job.study_uid, None)

    def _drop_stopped_work(self) -> None:
        # The ledger may take work away; which, the transitions above decide, so ask it.
        states = {job.id: job.state for detail in self._details() for job in detail.jobs}
        self.running = {
            job: fence for job, fence in self.running.items() if states[job] is JobState.RUNNING
        }
        stopped = {
            each.id
            for detail in self._details()
            if detail.study.identity_conflict
            for each in detail.deliveries
        }
        self.sending = {each: it for each, it in self.sending.items() if each not in stopped}

    def _details(self) -> list[StudyDetail]:
        found = (self.ledger.study(each) for each in STUDIES)
        return [each for each in found if each is not None]

    def _detail(self, study: str) -> StudyDetail:
        detail = self.ledger.study(study)
        if detail is None:
            pytest.fail("the study is gone")
        return detail


def test_no_order_of_events_loses_or_doubles_anything() -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
