"""In continuous integration a test that is skipped for want of a tool is a failure; seeds."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pydicom.config
import pytest


def _fail_if_a_tool_is_missing(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("CARDIONODE_CI") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith("needs:"):
            report.outcome = "failed"
            report.longrepr = f"skipped in continuous integration: {reason}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a campaign be run again."""
    parser.addoption("--seed", type=int, help="seed of the campaigns, as their last line tells it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose reason to be skipped starts with ``needs:`` when CARDIONODE_CI is set."""
    report = yield
    _fail_if_a_tool_is_missing(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that is skipped as a whole."""
    report = yield
    _fail_if_a_tool_is_missing(report)
    return report


@pytest.fixture(autouse=True, scope="module")
def _library_switches() -> Iterator[None]:
    """Undo that a listener quietens pydicom for the process, which other modules share."""
    mode = pydicom.config.settings.reading_validation_mode
    yield
    pydicom.config.settings.reading_validation_mode = mode
