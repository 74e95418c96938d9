"""Which ECG belongs to a radiograph: the rule of pairing across studies, a pure function.

Neither the order in which instances arrive nor their numbers in the ledger have a part in it, so
that the same instances always end in the same pairs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

_DAY_S = 86_400.0


class Role(StrEnum):
    """What an instance is to its pair; the answer goes into the study of the X-ray."""

    ECG = "ecg"
    XRAY = "xray"


@dataclass(frozen=True, slots=True)
class PairingRule:
    """The site's limits.

    Attributes
    ----------
    window_days
        How far ECG and X-ray may lie apart, in either direction, the limit included.
    expire_after_days
        How long after its arrival an instance is said to wait. A partner that comes later is
        paired all the same.
    """

    window_days: float = 7.0
    expire_after_days: float = 14.0

    @property
    def expire_after_s(self) -> float:
        """The same in seconds."""
        return self.expire_after_days * _DAY_S


@dataclass(frozen=True, slots=True)
class Candidate:
    """An analysed ECG or X-ray, of a patient who is known.

    Attributes
    ----------
    instance_id
        Its number in the ledger.
    patient_key, birth_key
        Keyed hashes; the second is empty where the date of birth is not known.
    acquired_at
        Wall clock of the site, seconds since 1970; None when not known.
    sop_instance_uid
        Decides between two that are equal in everything else.
    """

    instance_id: int
    patient_key: str
    birth_key: str
    acquired_at: float | None
    sop_instance_uid: str


def obstacle(candidate: Candidate) -> str:
    """Say why an instance can never be paired; empty when it can."""
    if not candidate.patient_key:
        return "it has no PatientID, so that it can't be paired"
    if candidate.acquired_at is None:
        return "it has no date of acquisition, so that it can't be paired"
    return ""


def distance_days(ecg: Candidate, xray: Candidate) -> float | None:
    """How many days the ECG was taken after the X-ray, negative when before.

    Returns
    -------
    None when the two can't belong together: another patient, two dates of birth, or a date that
    is not known.
    """
    if obstacle(ecg) or obstacle(xray) or ecg.patient_key != xray.patient_key:
        return None
    if ecg.birth_key and xray.birth_key and ecg.birth_key != xray.birth_key:
        return None
    if ecg.acquired_at is None or xray.acquired_at is None:
        return None
    return (ecg.acquired_at - xray.acquired_at) / _DAY_S


def choose_ecg(xray: Candidate, ecgs: Iterable[Candidate], rule: PairingRule) -> Candidate | None:
    """Choose the ECG of an X-ray: the nearest in time within the window.

    Of two that are equally near the earlier one is chosen: what was known before the X-ray was
    taken rather than after. What then is still equal is decided by the SOP Instance UID. One ECG
    may be the nearest of several X-rays.
    """
    inside = []
    for ecg in ecgs:
        days = distance_days(ecg, xray)
        if days is not None and abs(days) <= rule.window_days:
            inside.append((abs(days), days, ecg.sop_instance_uid, ecg))
    return min(inside, key=lambda each: each[:3])[3] if inside else None


def distance_words(days: float, of: Role) -> str:
    """Say how far a partner lies, e.g. ``an ECG 2.1 days before`` or ``an X-ray 3 h after``.

    Parameters
    ----------
    days
        From the X-ray to the ECG.
    of
        What the partner is.
    """
    name = "an ECG" if of is Role.ECG else "a chest X-ray"
    later = days if of is Role.ECG else -days
    hours = abs(days) * 24
    size = f"{hours:.0f} h" if hours < 48 else f"{abs(days):.1f} days"
    if hours < 0.5:
        return f"{name} at the same time"
    return f"{name} {size} {'after' if later > 0 else 'before'}"
