"""The demonstration's receiver takes what is sent to it."""

from __future__ import annotations

from pathlib import Path

from node.commands.demo_receiver import Receiver
from node.sending.association import Peer
from node.sending.c_store import CStoreSender
from node.sending.outcome import SendState
from tests.node_process import as_sent

_SAMPLE = Path(__file__).parents[2] / "sample_dicom/echo_a4c_sonosite_30f_small.dcm"


def test_the_receiver_receives() -> None:
    receiver = Receiver()
    receiver.start()
    try:
        sender = CStoreSender(Peer(*receiver.address, "DEMOPACS", 20.0), "ECHO")
        outcome = sender.send(as_sent(_SAMPLE), _SAMPLE)
        sender.close()
    finally:
        receiver.stop()
    assert outcome.state is SendState.SENT, outcome.note
