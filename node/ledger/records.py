"""The frozen values that go into the ledger and come out of it; all times are epoch seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from node.ledger.states import (
    CommitmentState,
    DeliveryState,
    DispositionState,
    InstanceState,
    JobKind,
    JobState,
    PairingState,
    StudyState,
)
from node.pairing import Role

OutcomeState = Literal["analysed", "waiting", "not_applicable", "not_analysed", "failed"]
ObjectKind = Literal["sr", "capture"]

#: Stands for a finding's name in an outcome that holds for every finding.
ANY_FINDING = "any"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A stored blob and the identity that its header claims.

    Attributes
    ----------
    sha256
        Hex digest of the blob, which is also its name in the spool.
    patient_key
        Keyed hash of the patient's identity, hex; never the identity itself. Empty when unknown.
    own_result
        The instance is a result of this node that came back.
    birth_key
        Keyed hash of the patient's date of birth, hex. Empty when unknown.
    acquired_at
        When it was acquired by the site's wall clock, seconds since 1970; None when unknown.
    """

    sha256: str
    size_bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    patient_key: str
    calling_ae_title: str
    own_result: bool
    birth_key: str = ""
    acquired_at: float | None = None


#: An arrival, and why it will not be analysed, when that is known already.
ToRecord = tuple[Arrival, str | None]


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A received instance.

    Attributes
    ----------
    conflict
        An earlier instance has the same SOP Instance UID and other bytes.
    reason
        Why it is quarantined; else empty.
    """

    id: int
    sha256: str
    size_bytes: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    calling_ae_title: str
    own_result: bool
    conflict: bool
    state: InstanceState
    reason: str
    received_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """A job that a worker holds.

    Attributes
    ----------
    instance
        What to analyse; None for a report.
    revision
        Number of the report that is to be made, from 1; 0 for an analysis.
    attempt
        From 1.
    fence
        Grows with every claim; a finish with an old fence changes nothing.
    created_at
        The same in every attempt, so that a repeated attempt can write the same bytes.
    """

    id: int
    kind: JobKind
    study_uid: str
    instance: InstanceRow | None
    revision: int
    attempt: int
    fence: int
    created_at: float
    first_attempt_at: float


@dataclass(frozen=True, slots=True)
class FindingOutcome:
    """What one finding made of one instance.

    Attributes
    ----------
    state
        ``waiting`` is for one that says nothing before it has its partner.
    reason
        A sentence for people; when analysed what was unusual, or nothing.
    observation
        JSON text made and read by the finding, None when there is none.
    sort_key
        The finding's own order among the instances of a study.
    role
        What the instance is to the pair that the finding needs; None when it needs none.
    """

    finding: str
    state: OutcomeState
    reason: str
    observation: str | None = None
    sort_key: float = 0.0
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A result object on disk.

    Attributes
    ----------
    path
        Relative to the data directory.
    instance_sop_uid
        The instance that a capture was made from; None for a report.
    """

    kind: ObjectKind
    finding: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    series_number: int
    sha256: str
    size_bytes: int
    path: str
    instance_sop_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An outbox row that a sender holds.

    Attributes
    ----------
    attempt
        From 1.
    first_attempt_at
        When this object was first tried at this destination.
    permanent_refusals
        How often the destination has refused it for good so far.
    """

    id: int
    destination: str
    object: StoredObject
    attempt: int
    fence: int
    first_attempt_at: float
    permanent_refusals: int


@dataclass(frozen=True, slots=True)
class Event:
    """One step in the life of a study.

    Attributes
    ----------
    subject
        What it happened to: ``study``, ``instance 3``, ``analyse job 7``, ``delivery 2 to pacs``.
    what
        The state that was entered, or another short word such as ``duplicate``.
    detail
        A sentence for people, possibly empty.
    """

    at: float
    subject: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Disposition:
    """Where an instance's way ended (or that it did not yet), and why."""

    state: DispositionState
    reason: str


@dataclass(frozen=True, slots=True)
class InstanceDetail:
    """An instance of a study with what became of it."""

    row: InstanceRow
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """An outcome, whose it is, and the revision that reported it (None: not reported yet)."""

    instance_id: int
    outcome: FindingOutcome
    reported_in: int | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as an onlooker sees it; a report has no instance, an analysis revision 0."""

    id: int
    kind: JobKind
    instance_id: int | None
    revision: int
    state: JobState
    attempt: int
    due_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result object and the revision of the study's results that it belongs to."""

    revision: int
    object: StoredObject


@dataclass(frozen=True, slots=True)
class CommitmentRow:
    """The last request for storage commitment that named a delivery, as an onlooker sees it.

    Attributes
    ----------
    ended_at
        When it was answered or given up, None while it waits.
    failure_reason
        Why the object is not committed (0008,1197); None when the destination did not say.
    """

    transaction_uid: str
    state: CommitmentState
    asked_at: float
    ended_at: float | None
    failure_reason: int | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as an onlooker sees it; ``reason`` is the last answer or error.

    Attributes
    ----------
    commitment
        None when it was not asked for.
    commit_failures
        How many requests for commitment were in vain since it was new.
    """

    id: int
    destination: str
    object: StoredObject
    state: DeliveryState
    attempt: int
    due_at: float
    reason: str
    commitment: CommitmentRow | None = None
    commit_failures: int = 0


@dataclass(frozen=True, slots=True)
class PairingRow:
    """A pairing as an onlooker sees it.

    Attributes
    ----------
    xray, ecg
        None while it waits for that one.
    distance_days
        From the X-ray to the ECG, None without a partner.
    expires_at
        Until when it is waited for.
    reason
        Why it is as it is.
    """

    id: int
    finding: str
    state: PairingState
    xray: PairedInstance | None
    ecg: PairedInstance | None
    distance_days: float | None
    created_at: float
    changed_at: float
    expires_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class PairedInstance:
    """One side of a pairing."""

    instance_id: int
    study_uid: str


@dataclass(frozen=True, slots=True)
class Partner:
    """Whom an instance of a study is paired with, for the report of that study.

    Attributes
    ----------
    of_id
        Number of the study's own instance in the ledger.
    instance, outcome
        The partner, and what the finding made of it.
    distance_days
        From the X-ray to the ECG.
    """

    finding: str
    of_id: int
    instance: InstanceRow
    outcome: FindingOutcome
    distance_days: float


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study in a list.

    Attributes
    ----------
    revision
        Number of the last report that was stored, 0 when there is none.
    identity_conflict
        Instances of more than one patient claim this study; no report is made.
    """

    study_uid: str
    state: StudyState
    revision: int
    identity_conflict: bool
    first_arrival_at: float
    last_arrival_at: float
    completed_at: float | None


@dataclass(frozen=True, slots=True)
class StudyDetail:
    """Everything the ledger holds about one study, each in order of its making."""

    study: StudyRow
    instances: tuple[InstanceDetail, ...]
    outcomes: tuple[OutcomeRow, ...]
    jobs: tuple[JobRow, ...]
    results: tuple[ResultRow, ...]
    deliveries: tuple[DeliveryRow, ...]
    pairings: tuple[PairingRow, ...] = ()
