"""Puts together what the status page shows; there is no patient data in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from node.ledger.queues import DestinationQueue
from node.ledger.records import StudyRow

#: Gives the problem that keeps a part of the node from working, None when it works.
Check = Callable[[], str | None]

_RECENT = 20


class LedgerView(Protocol):
    """What the page reads of the ledger."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Instances, studies, jobs and deliveries by state."""

    def recent_studies(self, limit: int = 100) -> list[StudyRow]:
        """The latest studies, latest first."""

    def oldest_unfinished(self) -> dict[str, float]:
        """Since when the oldest item of each queue waits, epoch seconds."""

    def destination_queues(self) -> list[DestinationQueue]:
        """What each destination still has to get."""


@dataclass(frozen=True, slots=True)
class DestinationLabel:
    """A configured destination as the page shows it."""

    name: str
    kind: str
    place: str


class StatusSource:
    """Reads the state of the node at one moment.

    Parameters
    ----------
    study_name
        Makes the short keyed name of a study of its UID, which is never shown itself.
    checks
        One for each part that must work for the node to be ready, by the part's name.
    clock
        Epoch seconds.
    """

    def __init__(
        self,
        *,
        ae_title: str,
        version: str,
        ledger: LedgerView,
        study_name: Callable[[str], str],
        destinations: Sequence[DestinationLabel],
        checks: Mapping[str, Check],
        clock: Callable[[], float],
    ) -> None:
        self._ae_title = ae_title
        self._version = version
        self._ledger = ledger
        self._study_name = study_name
        self._destinations = destinations
        self._checks = checks
        self._clock = clock

    def problems(self) -> dict[str, str]:
        """What keeps the node from being ready, by part; empty when it is ready."""
        found = {name: check() for name, check in self._checks.items()}
        return {name: problem for name, problem in found.items() if problem is not None}

    def snapshot(self) -> dict[str, Any]:
        """The state of the node, ready for JSON; times are epoch seconds, ages seconds."""
        now = self._clock()
        problems = self.problems()
        return {
            "ae_title": self._ae_title,
            "version": self._version,
            "at": now,
            "ready": not problems,
            "problems": problems,
            **self._ledger.counts(),
            "oldest_s": {
                queue: max(0.0, now - since)
                for queue, since in sorted(self._ledger.oldest_unfinished().items())
            },
            "destinations": self._destination_rows(now),
            "recent_studies": [
                self._study_row(study, now) for study in self._ledger.recent_studies(_RECENT)
            ],
        }

    def _destination_rows(self, now: float) -> list[dict[str, Any]]:
        queues = {queue.destination: queue for queue in self._ledger.destination_queues()}
        labels = {label.name: label for label in self._destinations}
        rows = []
        for name in [*labels, *(name for name in queues if name not in labels)]:
            label = labels.get(name) or DestinationLabel(name, "no longer configured", "")
            queue = queues.get(name) or DestinationQueue(name, 0, 0, 0, None, "")
            rows.append(
                {
                    "name": name,
                    "kind": label.kind,
                    "place": label.place,
                    "waiting": queue.waiting,
                    "sent": queue.sent,
                    "dead": queue.dead,
                    "oldest_s": None
                    if queue.oldest_at is None
                    else max(0.0, now - queue.oldest_at),
                    "last_problem": queue.last_problem,
                }
            )
        return rows

    def _study_row(self, study: StudyRow, now: float) -> dict[str, Any]:
        return {
            "study": self._study_name(study.study_uid),
            "state": study.state.value,
            "revision": study.revision,
            "identity_conflict": study.identity_conflict,
            "last_arrival_s": max(0.0, now - study.last_arrival_at),
        }
