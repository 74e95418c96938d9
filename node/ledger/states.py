"""The states that the ledger knows, each with a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class InstanceState(StrEnum):
    """Where a received instance stands."""

    RECEIVED = "received"  #: It is durable and acknowledged, and not looked at yet.
    DECODED = "decoded"  #: It was read, and every finding has said what it makes of it.
    QUARANTINED = "quarantined"  #: It is kept, but will not be analysed; the reason says why.


class StudyState(StrEnum):
    """Whether more instances are expected."""

    OPEN = "open"  #: Instances still arrive, or are being analysed.
    COMPLETE = "complete"  #: It was quiet for long enough and everything in it is analysed.


class JobKind(StrEnum):
    """What a job does."""

    ANALYSE = "analyse"  #: Decode one instance and run the findings on it.
    REPORT = "report"  #: Write the results of one complete study.


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"  #: No worker has tried it yet.
    RUNNING = "running"  #: A worker holds its lease.
    DONE = "done"  #: It was finished and its results are stored.
    RETRY = "retry"  #: An attempt failed; another will follow.
    FAILED = "failed"  #: It was given up; the reason says why.
    NOT_APPLICABLE = "not_applicable"  #: There was nothing to do, or a newer job replaced it.


class DeliveryState(StrEnum):
    """Where one object on its way to one destination stands."""

    WAITING = "waiting"  #: It was not tried yet.
    SENT = "sent"  #: The destination has answered success.
    COMMITTED = "committed"  #: The destination has confirmed that it keeps the object.
    RETRY = "retry"  #: An attempt failed; another will follow.
    DEAD = "dead"  #: It was given up and is kept; `retry` sends it again.


class CommitmentState(StrEnum):
    """Where a request for storage commitment stands."""

    ASKING = "asking"  #: It was written down; the destination may not have it yet.
    ASKED = "asked"  #: The destination has accepted it and owes an answer.
    ANSWERED = "answered"  #: The destination has said which objects it keeps.
    UNANSWERED = "unanswered"  #: No answer came in time; one that comes still counts.
    REFUSED = "refused"  #: It could not be asked; the reason says why.


class AnswerOutcome(StrEnum):
    """What recording an answer about storage commitment came to."""

    TAKEN = "taken"  #: It is recorded.
    REPEATED = "repeated"  #: The request was answered before; nothing was changed.
    UNKNOWN = "unknown"  #: No request of this node has its transaction UID.


class PairingState(StrEnum):
    """Where a pair of instances of two studies, or an instance that needs one, stands."""

    WAITING = "waiting"  #: Its partner has not come yet.
    PAIRED = "paired"  #: Both are there; the answer is in the report of the X-ray's study.
    EXPIRED = "expired"  #: It was not waited for any longer; a partner that comes still counts.
    SUPERSEDED = "superseded"  #: Another row took its place; the reason says why.


class DispositionState(StrEnum):
    """Where an instance's way through the node ended, seen from its sender."""

    PENDING = "pending"  #: It is still on its way.
    SENT = "sent"  #: A result that covers it has reached every destination.
    NO_ROUTE = "no_route"  #: Nothing applies to it, or there is nowhere to send the result.
    QUARANTINED = "quarantined"  #: It is kept aside and is part of no result.
    FAILED = "failed"  #: Its analysis, its report or a delivery was given up.


class ArrivalOutcome(StrEnum):
    """What recording an arrival came to; each means that the bytes are safe."""

    STORED = "stored"  #: The instance is new.
    DUPLICATE = "duplicate"  #: The same bytes are here already; nothing was changed.
    CONFLICT = "conflict"  #: The SOP Instance UID is here with other bytes; both are kept.
