"""When an instance was acquired, as its header tells: what pairing compares.

Times are those of the clocks on the site's walls. A zone is left out of account: few devices
state one, and a difference of an ECG that does and a radiograph that does not would be wrong by
hours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

STUDY_DATE = 0x00080020
ACQUISITION_DATE = 0x00080022
CONTENT_DATE = 0x00080023
ACQUISITION_DATE_TIME = 0x0008002A
STUDY_TIME = 0x00080030
ACQUISITION_TIME = 0x00080032
CONTENT_TIME = 0x00080033

#: Date and its time, the most telling first; AcquisitionDateTime, before them, holds both.
PAIRS = (
    (ACQUISITION_DATE, ACQUISITION_TIME),
    (CONTENT_DATE, CONTENT_TIME),
    (STUDY_DATE, STUDY_TIME),
)
MOMENT = frozenset({ACQUISITION_DATE_TIME, *(tag for pair in PAIRS for tag in pair)})

_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")  # with dots as in ACR-NEMA
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(\.\d{1,6})?)?)?")
_DATE_TIME = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?(?:[+-]\d{4})?")
#: Of an instance that tells only its day: nowhere in that day is further away than half of it.
_NOON = (12, 0, 0, 0)
_EPOCH = datetime(1970, 1, 1)
_FIRST_YEAR = 1900


def acquisition_moment(texts: Mapping[int, str]) -> float | None:
    """Find the moment of acquisition.

    The first valid date counts, with its own time: AcquisitionDateTime, AcquisitionDate,
    ContentDate, StudyDate. A date without a valid time stands for its noon. When an instance
    arrived tells nothing of when it was acquired.

    Parameters
    ----------
    texts
        Values of the :data:`MOMENT` elements by tag, without padding; absent ones may be missing.

    Returns
    -------
    Seconds of the site's wall clock since 1970, or None when no date is valid.
    """
    both = _DATE_TIME.fullmatch(texts.get(ACQUISITION_DATE_TIME, ""))
    found = _moment(both[1], both[2] or "") if both else None
    for date, time in PAIRS:
        if found is not None:
            break
        found = _moment(texts.get(date, ""), texts.get(time, ""))
    return found


def _moment(date: str, time: str) -> float | None:
    day = _DATE.fullmatch(date)
    if day is None or int(day[1]) < _FIRST_YEAR:
        return None
    try:
        at = datetime(int(day[1]), int(day[2]), int(day[3]), *_clock(time))
    except ValueError:
        return None
    return (at - _EPOCH).total_seconds()


def _clock(time: str) -> tuple[int, int, int, int]:
    read = _TIME.fullmatch(time)
    if read is None:
        return _NOON
    hour, minute, second = int(read[1]), int(read[2] or 0), int(read[3] or 0)
    if hour > 23 or minute > 59 or second > 60:
        return _NOON
    # 60 is a leap second (PS3.5 section 6.2)
    return hour, minute, min(second, 59), round(float(read[4] or 0) * 1e6)
