"""The write-ahead log holds a ledger's latest changes; without it a start would forget them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from node.errors import LedgerError, LedgerReadError, LedgerWriteError
from node.ledger.engine import log_of
from node.ledger.ledger import Ledger
from tests.integration.test_ledger import arrival

# A node that dies after two acknowledged arrivals.
_DIES = """
import os, sys
from pathlib import Path
from node.ledger.ledger import Ledger
from tests.integration.test_ledger import arrival
ledger = Ledger.open(Path(sys.argv[1]))
for number in (1, 2):
    ledger.record_arrival(arrival(number))
os._exit(9)
"""


def _die(path: Path) -> None:
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", _DIES, str(path)],
        env=os.environ | {"PYTHONPATH": str(root)}, cwd=root, check=False,
    )  # fmt: skip
    assert ended.returncode == 9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.mark.parametrize("was_closed_before", [False, True])
def test_a_dead_nodes_ledger_without_its_log_is_refused(
    path: Path, was_closed_before: bool
) -> None:
    if was_closed_before:
        Ledger.open(path).close()
    _die(path)
    kept = log_of(path).read_bytes()
    log_of(path).unlink()
    for read_only in (True, False, True, False):  # Neither a look nor a refused start makes one.
        with pytest.raises(LedgerError, match=r"put that file back"):
            Ledger.open(path, read_only=read_only)
        assert not log_of(path).exists()
    log_of(path).write_bytes(kept)
    with Ledger.open(path) as ledger:
        assert ledger.counts()["instances"]["received"] == 2


def test_who_says_so_goes_on_without_it(path: Path) -> None:
    _die(path)
    log_of(path).unlink()
    log_of(path).touch()
    with Ledger.open(path) as ledger:
        assert ledger.counts()["instances"]["received"] == 0


def test_a_closed_ledger_needs_no_log(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival())
    assert not log_of(path).exists()
    with Ledger.open(path) as ledger:
        assert ledger.counts()["instances"]["received"] == 1


def test_a_log_that_is_deleted_under_a_running_node(path: Path) -> None:
    """Nothing is acknowledged any more, and the end saves what was."""
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(1))
        log_of(path).unlink()
        for _ in range(2):
            with pytest.raises(LedgerWriteError, match="was deleted"):
                ledger.record_arrival(arrival(2))
        assert not ledger.healthy
    with Ledger.open(path) as ledger:
        assert ledger.counts()["instances"]["received"] >= 1
        ledger.record_arrival(arrival(2))
        assert ledger.counts()["instances"]["received"] == 2


def test_who_looks_on_while_the_log_is_deleted_makes_no_other(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(1))
        assert ledger.counts()["instances"]["received"] == 1
        log_of(path).unlink()
        with ThreadPoolExecutor(4) as onlookers:  # More than there are connections: new ones.
            waiting = Barrier(4)
            looks = [onlookers.submit(ledger._read, lambda _: waiting.wait(2.0)) for _ in range(4)]
        assert any(isinstance(look.exception(), LedgerReadError) for look in looks)
        assert not log_of(path).exists()


def test_another_file_in_the_place_of_the_log(path: Path) -> None:
    """It has its name, but the changes still go into the one that is gone."""
    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(1))
        log_of(path).unlink()
        log_of(path).touch()
        with pytest.raises(LedgerWriteError, match="was deleted"):
            ledger.record_arrival(arrival(2))
        assert not ledger.healthy


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE])
def test_a_log_that_can_not_be_looked_for_may_be_there_later(
    path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path, mode: str = "r") -> object:
        raise OSError(code, os.strerror(code), str(self))

    with Ledger.open(path) as ledger:
        ledger.record_arrival(arrival(1))
        ledger._readers.dispose()  # So that the next look opens the file.
        with monkeypatch.context() as failing:
            failing.setattr(Path, "open", fails)
            with pytest.raises(LedgerReadError, match=os.strerror(code)) as caught:
                ledger.counts()
            assert str(path) not in str(caught.value)
            with pytest.raises(LedgerError, match=os.strerror(code)):
                Ledger.open(path, read_only=True)
        assert ledger.counts()["instances"]["received"] == 1
