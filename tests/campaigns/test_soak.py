"""Tens of thousands of associations, one after the other: a node's memory stays what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.campaigns.campaign import Campaign
from tests.campaigns.lengths import both_lengths
from tests.campaigns.light_node import (
    Vitals,
    associate,
    check_calm,
    connect,
    echo,
    light_node,
    release,
)
from tests.campaigns.memory import MemoryCurve
from tests.dicom_wire import (
    COMMAND_END,
    CT_IMAGE,
    DATASET_END,
    P_DATA,
    dataset,
    p_data,
    read_pdu,
    status_of,
    store_command,
)
from tests.node_process import NodeProcess

_COUNT = {True: 20_000, False: 150}
_STORED_EVERY = 10
_PROBED_EVERY = 25
_MEASURED_EVERY = {True: 200, False: 10}


@both_lengths
def test_associations(campaign: Campaign, tmp_path: Path, length: str) -> None:
    """Echoes, instances that come again, new ones, and connections that say nothing."""
    curve = MemoryCurve()
    with light_node(tmp_path) as node:
        _echo(node)
        before = Vitals.of(node)
        for number in campaign.track(range(_COUNT[campaign.is_long])):
            if number % _PROBED_EVERY == 1:
                connect(node).close()
                campaign.count(probes=1)
            if number % _STORED_EVERY == 0:
                # Every second time a new instance, else one that is there.
                _store(node, f"1.2.3.{number // (2 * _STORED_EVERY)}")
                campaign.count(stores=1)
            else:
                _echo(node)
            campaign.count(associations=1)
            if number % _MEASURED_EVERY[campaign.is_long] == 0:
                curve.measure(number, node.pids)
        check_calm(node, before)
        picture = tmp_path / "memory.png"
        curve.draw(picture, f"{_COUNT[campaign.is_long]} associations")
        campaign.count(MiB_per_1000=f"{curve.mib_per_1000:+.3f}", is_the_picture=str(picture))
        if campaign.is_long:
            assert curve.mib_per_1000 < 1.0
        assert node.stop() == 0
    assert picture.stat().st_size > 1000
    shutil.rmtree(tmp_path / "var")


def _echo(node: NodeProcess) -> None:
    with connect(node) as sock:
        assert associate(sock)
        assert echo(sock)
        assert release(sock)


def _store(node: NodeProcess, uid: str) -> None:
    with connect(node) as sock:
        assert associate(sock, CT_IMAGE)
        sock.sendall(
            p_data(1, COMMAND_END, store_command(CT_IMAGE.encode(), uid.encode()))
            + p_data(1, DATASET_END, dataset(CT_IMAGE, uid))
        )
        kind, body = read_pdu(sock)
        assert (kind, status_of(body)) == (P_DATA, 0)
        assert release(sock)
