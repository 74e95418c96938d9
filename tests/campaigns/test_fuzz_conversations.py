"""Damaged conversations with a running node: each ends, and the node is as it was."""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tests.build import make_echo_still, save
from tests.campaigns.campaign import Campaign
from tests.campaigns.lengths import both_lengths
from tests.campaigns.light_node import (
    RecordingProxy,
    Step,
    Vitals,
    associate,
    check_calm,
    connect,
    dcmtk,
    echo,
    light_node,
    pdus_of,
    release,
)
from tests.campaigns.memory import MemoryCurve
from tests.campaigns.mutation import mutate
from tests.node_process import NodeProcess

_COUNT = {True: 20_000, False: 150}
_ROUND = 250
_TALKERS = 8
#: How long an answer is waited for, which a damaged request may never get.
_ANSWER_S = 2.0
#: A node that has not ended an association by then hangs.
_END_S = 60.0

Conversation = list[Step]


@both_lengths
def test_conversations(campaign: Campaign, tmp_path: Path, length: str) -> None:
    with light_node(tmp_path, pdu_deadline_s=2.0, idle_timeout_s=5.0) as node:
        recorded = _record(node, tmp_path)
        for conversation in recorded:
            assert _talk(node, conversation) == "answered"
        before, curve = Vitals.of(node), MemoryCurve()
        rounds = max(1, _COUNT[campaign.is_long] // _ROUND)
        for number in campaign.track(range(rounds)):
            seeds = [campaign.rng.getrandbits(64) for _ in range(_ROUND)]
            with ThreadPoolExecutor(_TALKERS) as talkers:
                ends = Counter(
                    talkers.map(lambda seed: _talk(node, _damaged(recorded, seed)), seeds)
                )
            campaign.count(conversations=_ROUND, **ends)
            assert node.is_alive, node.log[-2000:]
            with connect(node) as sock:
                assert associate(sock) and echo(sock) and release(sock)
            curve.measure((number + 1) * _ROUND, node.pids)
        assert campaign.counts.get("hung", 0) == 0
        check_calm(node, before)
        # Such a thread's association has ended all the same; a listener of ours should have none.
        campaign.count(threads_died=node.log.count("a thread ended early"))
        campaign.count(MiB_per_1000=f"{curve.mib_per_1000:+.3f}")
        if campaign.is_long:
            curve.draw(tmp_path / "memory.png", "damaged conversations")
            assert curve.mib_per_1000 < 1.0
        assert node.stop() == 0


def _record(node: NodeProcess, folder: Path) -> list[Conversation]:
    """What DCMTK's own programs say: an echo, and instances in several ways."""
    (folder / "in").mkdir()
    paths = [
        save(make_echo_still(study=f"S{n}", rows=24, columns=32), folder / "in") for n in (1, 2)
    ]
    echoscu, storescu = dcmtk("echoscu"), dcmtk("storescu")
    proxy = RecordingProxy(node)
    place = ["127.0.0.1", str(proxy.port)]
    try:
        said = [
            proxy.record([echoscu, *place]),
            proxy.record([echoscu, "--repeat", "3", "-pts", "5", *place]),
            proxy.record([storescu, "-R", *place, *map(str, paths)]),
            proxy.record([storescu, "-xi", "-pdu", "4096", *place, str(paths[0])]),
        ]
    finally:
        proxy.close()
    return said


def _damaged(recorded: list[Conversation], seed: int) -> Conversation:
    rng = random.Random(seed)
    steps = list(rng.choice(recorded))
    others = list(itertools.chain.from_iterable(recorded))
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not steps:
            break
        at = rng.randrange(len(steps))
        steps[at : at + 1] = _strike(steps[at], others, rng)
    return steps


def _strike(step: Step, others: Conversation, rng: random.Random) -> Conversation:
    pdu, pieces = step.pdu, [each.pdu for each in others]
    kind = rng.randrange(10)
    if kind <= 3:  # Inside, with a length that fits: what lies behind the first check.
        body = mutate(pdu[6:], rng, others=pieces)
        return [replace(step, pdu=pdu[:2] + len(body).to_bytes(4, "big") + body)]
    if kind <= 5:
        return [replace(step, pdu=mutate(pdu, rng, others=pieces))]
    if kind == 6:
        return []
    if kind == 7:
        return [rng.choice(others), step]
    if kind == 8:
        return [replace(step, pdu=pdu[: rng.randrange(len(pdu) + 1)])]
    return [Step(bytes([rng.randrange(12), 0, 0, 0, 0, 4, 0, 0, 0, 0]), rng.random() < 0.5), step]


def _answer(sock: socket.socket) -> bytes:
    """What the node says next; nothing when it waits for more."""
    ready, _, _ = select.select([sock], [], [], _ANSWER_S)
    return sock.recv(1 << 16) if ready else b""


def _talk(node: NodeProcess, conversation: Conversation) -> str:
    """Say all of it, and listen to the end; how it ended."""
    heard = bytearray()
    with connect(node) as sock:
        sock.settimeout(_END_S)
        with contextlib.suppress(OSError):  # It may end at any step of this.
            for step in conversation:
                sock.sendall(step.pdu)
                if step.waits:
                    heard += _answer(sock)
            sock.shutdown(socket.SHUT_WR)
        try:
            while part := sock.recv(1 << 16):
                heard += part
        except TimeoutError:
            return "hung"
        except ConnectionError:
            return "reset"
    kinds = [each[0] for each in pdus_of(bytes(heard)) if each]
    return {6: "answered", 7: "aborted", 3: "rejected"}.get(kinds[-1] if kinds else 0, "closed")
