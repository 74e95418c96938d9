"""The log: JSON lines without anything that belongs to a patient."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from node.errors import BadObjectError
from node.logs import logging_to, uid_hash

KEY = b"k" * 32
UID = "1.2.840.113619.2.55.3.604688119"


class _Log:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[_Log]:
    written = _Log()
    with logging_to(KEY, "debug", written.stream):
        yield written


def test_fixed_keys_and_allowed_extras(log: _Log) -> None:
    extra = {"action": "job_done", "job": 3, "ms": 1.5, "patient_name": "Doe^Jane"}
    logging.getLogger("node.worker").info("job %s is done", 3, extra=extra)
    (line,) = log.lines
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "node.worker",
        "event": "job 3 is done",
        "action": "job_done",
        "job": 3,
        "ms": 1.5,
    }


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("error", 0)])
def test_other_packages_are_as_quiet_as_the_site_wants(level: str, lines: int) -> None:
    written = _Log()
    with logging_to(KEY, level, written.stream):
        logging.getLogger("pydicom").info("Doe^Jane has a code string")
        logging.getLogger("pydicom").warning("Doe^Jane is no code string")
    assert len(written.lines) == lines
    assert "Doe" not in written.stream.getvalue()


def test_uids_are_hashed_everywhere(log: _Log) -> None:
    extra = {"study": UID, "address": "192.168.1.20", "reason": f"{UID} is odd"}
    logging.getLogger("node.worker").info("study %s", UID, extra=extra)
    (line,) = log.lines
    name = f"uid:{uid_hash(KEY, UID)}"
    assert (line["event"], line["study"], line["reason"]) == (
        f"study {name}",
        name,
        f"{name} is odd",
    )
    assert line["address"] == "192.168.1.20"
    assert UID not in log.stream.getvalue()


def test_one_record_is_one_line(log: _Log) -> None:
    text = "a\nb\r\x1b[31mred\u2028\x9b"
    logging.getLogger("node.x").warning("%s", text)
    assert log.stream.getvalue().count("\n") == 1
    assert log.lines[0]["event"] == "a b  [31mred  "


def test_texts_of_other_packages_stay_inside(log: _Log) -> None:
    logging.getLogger("pydicom").warning("Invalid value Doe^Jane")
    logging.getLogger("pynetdicom.dsutils").info("below its level")
    (line,) = log.lines
    assert line["at"].startswith("test_logs:")
    assert "Doe" not in log.stream.getvalue()


def test_warnings_lose_their_text(log: _Log) -> None:
    ds = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        ds.PatientBirthDate = "Doe^Jane"
    *_, line = log.lines  # pydicom logs it too
    assert line["event"] == "a warning"
    assert line["reason"].startswith("UserWarning at ")
    assert "Doe" not in log.stream.getvalue()


def test_errors_show_type_and_place(log: _Log) -> None:
    for error in (ValueError("Doe^Jane"), BadObjectError("no pixels")):
        try:
            raise error
        except (ValueError, BadObjectError):
            logging.getLogger("node.x").exception("it failed")
    foreign, ours = log.lines
    assert foreign["error"].startswith("ValueError at test_logs.py:")
    assert ours["error"].endswith(": no pixels")
    assert "Doe" not in log.stream.getvalue()


def test_a_dying_thread_is_logged(log: _Log) -> None:
    def die() -> None:
        raise ValueError("Doe^Jane")

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    assert log.lines[0]["event"] == "a thread ended early"
    assert "Doe" not in log.stream.getvalue()


def test_a_dying_process_is_logged(log: _Log) -> None:
    sys.excepthook(ValueError, ValueError("Doe^Jane"), None)
    assert log.lines[0]["error"] == "ValueError"


def test_everything_is_put_back() -> None:
    before = (logging.getLogger().handlers[:], sys.excepthook, warnings.showwarning)
    with logging_to(KEY, stream=io.StringIO()):
        assert logging.getLogger("pynetdicom").level == logging.WARNING
    assert (logging.getLogger().handlers, sys.excepthook, warnings.showwarning) == before
