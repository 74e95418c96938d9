"""Any order of arrivals, analyses, replays, conflicts, expiries and restarts: pairs stay right."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from node.errors import LeaseLostError
from node.ledger.ledger import Ledger
from node.ledger.records import Arrival, FindingOutcome, Job, PairingRow, StudyDetail
from node.ledger.states import JobKind, PairingState
from node.pairing import Candidate, PairingRule, Role, choose_ecg

DAY, LEASE_S, QUIET_S = 86_400.0, 30.0, 10.0
RULE = PairingRule(window_days=7.0, expire_after_days=14.0)
FINDING = "stenosis_screening"
#: Days of acquisition by study; two films and four ECGs of one patient.
DAYS = {"1.1": 100.0, "1.2": 104.0, "2.1": 97.0, "2.2": 103.0, "2.3": 101.5, "2.4": 120.0}


def role_of(study: str) -> Role:
    return Role.XRAY if study.startswith("1.") else Role.ECG


class PairingMachine(RuleBasedStateMachine):
    """Drives a real ledger, and remembers which ECG the last report of each film named."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.now = 1_000_000.0
        self.ledger = self._open()
        self.job: Job | None = None
        self.told: dict[str, str | None] = {}

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    def _open(self) -> Ledger:
        return Ledger.open(self.path, lambda: self.now, pairing=RULE)

    # ---- what happens

    @rule(study=st.sampled_from(sorted(DAYS)))
    def arrive(self, study: str) -> None:
        self._send(study, 1, "aa")

    @rule(study=st.sampled_from(sorted(DAYS)))
    def arrive_and_settle(self, study: str) -> None:
        self._send(study, 1, "aa")
        self.settle()

    @rule(study=st.sampled_from(["1.2", "2.3"]))
    def arrive_of_another_patient(self, study: str) -> None:
        self._send(study, 2, "bb")

    @rule()
    def claim(self) -> None:
        if self.job is None:
            self.job = self.ledger.claim_job("worker", LEASE_S)

    @rule(good=st.booleans())
    def finish(self, good: bool) -> None:
        if self.job is None:
            return
        job, self.job = self.job, None
        try:
            self._finish(job, good)
        except LeaseLostError:
            return

    @rule(study=st.sampled_from(sorted(DAYS)))
    def replay(self, study: str) -> None:
        self.ledger.replay(study)

    @rule(study=st.sampled_from(sorted(DAYS)))
    def replay_and_settle(self, study: str) -> None:
        self.ledger.replay(study)
        self.settle()

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self._open()
        self.ledger.recover()
        self.job = None

    @rule(days=st.sampled_from([0.001, 5.0, 15.0]))
    def wait_and_expire(self, days: float) -> None:
        self.now += days * DAY
        self.ledger.expire_pairings()

    @rule()
    def complete(self) -> None:
        self.now += QUIET_S
        self.ledger.complete_due_studies(QUIET_S)

    @rule()
    def settle(self) -> None:
        """Let everything that is due be done, and compare the last reports with the pairs."""
        self.finish(True)
        for _ in range(2):
            while (job := self.ledger.claim_job("worker", LEASE_S)) is not None:
                self._finish(job, True)
            self.complete()
        while (job := self.ledger.claim_job("worker", LEASE_S)) is not None:
            self._finish(job, True)
        for detail in self._details():
            study = detail.study.study_uid
            if role_of(study) is Role.XRAY and not detail.study.identity_conflict:
                now = self._partner(study)
                assert self.told.get(study) == now, (study, self.told, now)

    # ---- what must hold

    @invariant()
    def the_rows_are_what_the_rule_says(self) -> None:
        films, ecgs = self._candidates(Role.XRAY), self._candidates(Role.ECG)
        wanted: set[tuple[str | None, str | None]] = set()
        for study, film in films.items():
            ecg = choose_ecg(film, ecgs.values(), RULE)
            wanted.add((study, None if ecg is None else ecg.sop_instance_uid.removesuffix(".1")))
        used = {ecg for _, ecg in wanted}
        wanted |= {(None, study) for study in ecgs if study not in used}
        live = [row for row in self._rows() if row.state is not PairingState.SUPERSEDED]
        found = [(row.xray and row.xray.study_uid, row.ecg and row.ecg.study_uid) for row in live]
        assert sorted(map(str, found)) == sorted(map(str, wanted))

    @invariant()
    def outcomes_say_what_the_rows_say(self) -> None:
        paired = {
            side.instance_id
            for row in self._rows()
            if row.state is PairingState.PAIRED
            for side in (row.xray, row.ecg)
            if side is not None
        }
        for detail in self._details():
            for each in detail.outcomes:
                if detail.study.identity_conflict or each.outcome.role is None:
                    continue
                assert (each.outcome.state == "analysed") == (each.instance_id in paired)

    # ---- how it is driven

    def _send(self, study: str, number: int, patient: str) -> None:
        role = role_of(study)
        self.ledger.record_arrival(
            Arrival(
                sha256=f"{study}.{number}",
                size_bytes=1,
                sop_class_uid="1.2",
                sop_instance_uid=f"{study}.{number}",
                series_instance_uid="1.3",
                study_instance_uid=study,
                transfer_syntax_uid="1.4",
                modality="DX" if role is Role.XRAY else "ECG",
                patient_key=patient,
                calling_ae_title="MODALITY",
                own_result=False,
                acquired_at=DAYS[study] * DAY,
            ),
            "of another patient" if number > 1 else None,
        )

    def _finish(self, job: Job, good: bool) -> None:
        if job.kind is JobKind.REPORT:
            partner = self._partner(job.study_uid)
            self.ledger.finish_report(job, [], [])
            self.told[job.study_uid] = partner
        elif good:
            outcome = FindingOutcome(FINDING, "waiting", "", "{}", role=role_of(job.study_uid))
            self.ledger.finish_analysis(job, [outcome])
        else:
            self.ledger.finish_analysis(job, [FindingOutcome(FINDING, "not_analysed", "dark")])

    def _partner(self, study: str) -> str | None:
        partners = [each.instance.sop_instance_uid for each in self.ledger.study_partners(study)]
        assert len(partners) <= 1 or role_of(study) is Role.ECG
        return partners[0] if partners else None

    def _candidates(self, role: Role) -> dict[str, Candidate]:
        """Analysed instances by study, and those of pairs that are being analysed again."""
        kept = {
            side.study_uid
            for row in self._rows()
            if row.state is not PairingState.SUPERSEDED
            for side in (row.xray, row.ecg)
            if side is not None
        }
        found = {}
        for detail in self._details():
            study = detail.study.study_uid
            if role_of(study) is not role or detail.study.identity_conflict:
                continue
            again = study in kept and any(
                job.kind is JobKind.ANALYSE and job.state.value in ("waiting", "running", "retry")
                for job in detail.jobs
            )
            if again or any(each.outcome.role is role for each in detail.outcomes):
                found[study] = Candidate(0, "aa", "", DAYS[study] * DAY, f"{study}.1")
        return found

    def _rows(self) -> list[PairingRow]:
        rows = {row.id: row for detail in self._details() for row in detail.pairings}
        return list(rows.values())

    def _details(self) -> list[StudyDetail]:
        found = (self.ledger.study(study) for study in DAYS)
        return [detail for detail in found if detail is not None]


def test_no_order_of_events_breaks_a_pair() -> None:
    run_state_machine_as_test(
        PairingMachine,
        settings=settings(
            max_examples=6,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
