"""Hands each campaign its seed, and writes all their lines of counts at the end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.campaigns.campaign import Campaign

_CAMPAIGNS = pytest.StashKey[list[Campaign]]()
_SHORT_SEED = 1


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """The campaign that a test is; its length is that of the test's marker."""
    is_long = request.node.get_closest_marker("campaign") is not None
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = secrets.randbelow(1 << 31) if is_long else _SHORT_SEED
    name = request.node.name.removeprefix("test_").replace("_", " ")
    made = Campaign(name, seed, is_long)
    # Noted at its beginning, so that one that is interrupted tells how far it came.
    request.config.stash.setdefault(_CAMPAIGNS, []).append(made)
    yield made
    made.end()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Write the campaigns' lines."""
    for each in config.stash.get(_CAMPAIGNS, []):
        terminalreporter.write_line(f"campaign {each.summary}")
