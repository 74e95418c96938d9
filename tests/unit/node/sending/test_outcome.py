"""Every status of C-STORE has a meaning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.sending.outcome import SendState, outcome_of_status


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, SendState.SENT),
        (0x0107, SendState.SENT),  # warning: attribute list error
        (0x0110, SendState.TRANSIENT),
        (0x0111, SendState.SENT),  # the peer has it from an earlier attempt
        (0x0117, SendState.PERMANENT),
        (0x0122, SendState.PERMANENT),
        (0x0124, SendState.PERMANENT),
        (0x0210, SendState.TRANSIENT),
        (0x0211, SendState.PERMANENT),
        (0xA700, SendState.TRANSIENT),
        (0xA7FF, SendState.TRANSIENT),
        (0xA800, SendState.PERMANENT),
        (0xA900, SendState.PERMANENT),
        (0xA9FF, SendState.PERMANENT),
        (0xB000, SendState.SENT),
        (0xB007, SendState.SENT),
        (0xC000, SendState.PERMANENT),
        (0xCFFF, SendState.PERMANENT),
        (0xFE00, SendState.TRANSIENT),
        (0x1234, SendState.TRANSIENT),  # unknown: the cause may pass
    ],
)
def test_status(status: int, state: SendState) -> None:
    assert outcome_of_status(status).state is state


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF))
def test_every_status_but_success_is_named_in_the_note(status: int) -> None:
    note = outcome_of_status(status).note
    assert (f"0x{status:04X}" in note) == (status != 0)
