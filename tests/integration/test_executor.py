"""The local executor with a real host process and a tiny network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from node.errors import HostDiedError, PermanentError, TransientError
from node.inference.executor import LocalExecutor
from node.inference.messages import Arrays, HostSettings

REGISTRY = "tests.fake_networks:load"
SETTINGS = HostSettings("cpu", "float32", threads=1)


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    tiny = LocalExecutor(SETTINGS, registry=REGISTRY)
    tiny.start()
    yield tiny
    tiny.stop()


def rows(count: int, value: float | None = None, seed: int = 0) -> Arrays:
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return {"x": x if value is None else np.full_like(x, value)}


def test_the_host_tells_what_it_has(executor: LocalExecutor) -> None:
    info = executor.start()
    assert info.networks == ("tiny",)
    assert info.problems == {"lost": "no readable card lost.json"}
    assert info.pid != os.getpid()


def test_waiting_requests_are_computed_together_and_answered_apart(
    executor: LocalExecutor,
) -> None:
    requests = [rows(count, seed=count) for count in (1, 2, 3, 1, 2, 3)]
    alone = [executor.run("tiny", "predict", request)["y"] for request in requests]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda request: executor.run("tiny", "slow", request), requests))
    for expected, answer in zip(alone, answers, strict=True):
        assert np.allclose(answer["y"], expected, rtol=1e-6)
    assert max(int(answer["batch_rows"].max()) for answer in answers) > 3


def test_rows_that_belong_together_are_not_mixed(executor: LocalExecutor) -> None:
    requests = [rows(count, seed=count) for count in (1, 2, 20)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(
            pool.map(lambda request: executor.run("tiny", "together", request), requests)
        )
    assert [int(answer["batch_rows"][0]) for answer in answers] == [1, 2, 20]


def test_many_rows_are_computed_in_slices(executor: LocalExecutor) -> None:
    answer = executor.run("tiny", "predict", rows(40))
    assert answer["batch_rows"].max() == 16
    assert len(answer["y"]) == 40


def test_one_bad_request_does_not_spoil_the_others(executor: LocalExecutor) -> None:
    def call(index: int) -> str:
        try:
            executor.run("tiny", "slow" if index == 0 else "picky", rows(1, [1.0, 1, -1, 1][index]))
        except PermanentError as error:
            return str(error)
        return "fine"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(call, range(4)))
    assert results == ["fine", "fine", "tiny failed: ValueError: negative", "fine"]


def test_too_little_memory_halves_the_batch(executor: LocalExecutor) -> None:
    assert len(executor.run("tiny", "hungry", rows(11))["y"]) == 11
    with pytest.raises(TransientError, match="too little memory"):
        executor.run("tiny", "hungry", rows(1, 2e6))


@pytest.mark.parametrize(
    ("network", "task", "message"),
    [
        ("lost", "predict", "lost is not loaded: no readable card"),
        ("tiny", "nothing", "no network tiny with a task nothing"),
    ],
)
def test_unknown_tasks(executor: LocalExecutor, network: str, task: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        executor.run(network, task, rows(1))


def test_arrays_without_common_rows_are_refused(executor: LocalExecutor) -> None:
    with pytest.raises(ValueError, match="same number of rows"):
        executor.run("tiny", "predict", {"x": np.zeros((2, 4)), "n": np.zeros(3)})


def test_a_killed_host_fails_its_calls_and_the_next_call_gets_another(
    executor: LocalExecutor,
) -> None:
    first = executor.start().pid
    failures: list[HostDiedError] = []

    def call() -> None:
        try:
            executor.run("tiny", "slow", rows(1))
        except HostDiedError as error:
            failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(0.1)
    os.kill(first, signal.SIGKILL)
    for caller in callers:
        caller.join(10)
    assert len(failures) == 3
    answer = executor.run("tiny", "predict", rows(2))
    assert answer["pid"][0] != first


def test_a_network_that_kills_its_host_is_survived(executor: LocalExecutor) -> None:
    with pytest.raises(HostDiedError):
        executor.run("tiny", "deadly", rows(1, 9.0))
    assert len(executor.run("tiny", "deadly", rows(1, 1.0))["y"]) == 1


def test_a_host_that_hangs_is_killed() -> None:
    executor = LocalExecutor(SETTINGS, registry=REGISTRY, call_timeout_s=1.0)
    try:
        executor.start()
        with pytest.raises(HostDiedError, match="did not answer within 1 s"):
            executor.run("tiny", "stuck", rows(1, 9.0))
        assert executor.info is None
        assert len(executor.run("tiny", "stuck", rows(1, 1.0))["y"]) == 1
    finally:
        executor.stop()
    with pytest.raises(HostDiedError, match="was stopped"):
        executor.run("tiny", "predict", rows(1))


def test_a_host_that_can_not_load_says_why() -> None:
    executor = LocalExecutor(SETTINGS, registry="tests.fake_networks:broken")
    with pytest.raises(HostDiedError, match="did not start: RuntimeError: the weights are gone"):
        executor.start()


def test_the_host_ends_with_its_parent_and_the_parent_needs_no_torch(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, sys\n"
        "from node.inference.executor import LocalExecutor\n"
        "from node.inference.messages import HostSettings\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalExecutor(HostSettings('cpu', threads=1), registry=sys.argv[1])\n"
        "    print(executor.start().pid, 'torch' in sys.modules, flush=True)\n"
        "    if sys.argv[2] == 'kill':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for ending in ("kill", "return"):
        parent = subprocess.run(
            [sys.executable, str(script), REGISTRY, ending],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=60,
            text=True,
            check=False,
        )
        pid, has_torch = parent.stdout.split()
        assert has_torch == "False"
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{pid}").exists()
