"""Writes the log: one JSON object a line, with nothing in it that belongs to a patient.

What other packages say is reduced to where they said it, because their texts repeat the values
that they stumble over; UIDs are replaced by keyed hashes wherever they appear.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from node.errors import CardionodeError

#: What may stand beside a message, given with ``extra``. Everything else is dropped.
FIELDS = (
    "action", "ae", "address", "attempt", "called_ae", "certificate", "count", "delivery",
    "destination", "device", "event_id", "event_type", "finding", "instance", "job", "kind", "ms",
    "network", "outcome", "port", "reason", "result", "revision", "signal", "state", "status",
    "study", "suppressed", "worker",
)  # fmt: skip

_OURS = ("node", "models", "train", "__main__")
_AUDIT = "node.audit"
_CAPPED = ("pydicom", "pynetdicom", "highdicom", "uvicorn", "PIL", "apscheduler", "sqlalchemy")
# PS3.5 section 9: digits and dots. Five parts and more, so that an IP address is none.
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_TEXT = 500


def uid_hash(key: bytes, uid: str) -> str:
    """The short name of a UID in logs and on the status page, 12 hex digits."""
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()[:12]


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record.

    Parameters
    ----------
    key
        The site's secret for the hashes of UIDs.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def format(self, record: logging.LogRecord) -> str:
        """Reduce a record to what may leave the node."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.name.partition(".")[0] in _OURS:
            line["event"] = self._clean(record.getMessage())
        else:
            line["event"] = "a message of another package"
            line["at"] = f"{record.module}:{record.lineno}"
        for name in FIELDS:
            if (value := getattr(record, name, None)) is not None:
                line[name] = value if isinstance(value, int | float) else self._clean(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = self._clean(describe_error(record.exc_info[1]))
        return json.dumps(line, ensure_ascii=True)

    def _clean(self, text: str) -> str:
        text = _UID.sub(lambda found: f"uid:{uid_hash(self._key, found[0])}", text)
        return _CONTROL.sub(" ", text)[:_LONGEST_TEXT]


def describe_error(error: BaseException) -> str:
    """Type and place of an error; its message only when it is one of ours, made for people."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = f": {error}" if isinstance(error, CardionodeError) else ""
    return f"{type(error).__name__}{place}{message}"


@contextmanager
def logging_to(
    key: bytes, level: str = "info", stream: TextIO | None = None
) -> Iterator[logging.Handler]:
    """Log in JSON while the block runs, then put everything back.

    Warnings and errors that end a thread or the process are logged too, without their texts.

    Parameters
    ----------
    key
        The site's secret.
    stream
        Where to; stderr by default.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(key))
    root = logging.getLogger()
    before = (root.level, root.handlers[:], sys.excepthook, threading.excepthook)
    show_warning = warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in (*_CAPPED, _AUDIT)}
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CAPPED:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # The audit trail is written whatever level a site chooses for the rest.
    logging.getLogger(_AUDIT).setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_thread_death
    try:
        yield handler
    finally:
        root.level, root.handlers[:], sys.excepthook, threading.excepthook = before
        warnings.showwarning = show_warning
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # The text is left out: pydicom's repeat the value that they are about.
    place = f"{category.__name__} at {Path(filename).name}:{lineno}"
    logging.getLogger(__name__).warning("a warning", extra={"reason": place})


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: object) -> None:
    logging.getLogger(__name__).critical("the process ends", exc_info=error)


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        logging.getLogger(__name__).error("a thread ended early", exc_info=args.exc_value)
