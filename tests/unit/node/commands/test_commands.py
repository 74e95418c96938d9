"""The operator's commands on a real ledger, and the exit statuses of the real process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from node.__main__ import app
from node.commands.operator import request_box
from node.data_dir import DataDir
from node.errors import LedgerError
from node.ledger.ledger import Ledger
from node.logs import uid_hash
from tests.ledger_with_study import STUDY, fill_ledger


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class _Site:
    """A data directory with one reported study whose delivery to the PACS is dead."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "node.toml"
        self.config.write_text('[node]\ndata_dir = "var"\n', encoding="utf-8")
        self.data_dir = DataDir(folder / "var")
        clock = _Clock()
        with self.data_dir, Ledger.open(self.data_dir.ledger, clock) as ledger:
            self.key = self.data_dir.site_key()
            fill_ledger(ledger, clock)
            delivery = ledger.claim_delivery("pacs", 60.0)
            assert delivery is not None
            ledger.delivery_dead(delivery, "refused: \x1b[31m0x0122")

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])

    def counts(self) -> dict[str, dict[str, int]]:
        with Ledger.open(self.data_dir.ledger, read_only=True) as ledger:
            return ledger.counts()


@pytest.fixture
def site(tmp_path: Path) -> _Site:
    return _Site(tmp_path)


def test_status_for_programs(site: _Site) -> None:
    result = site.run("status", "--json")
    assert result.exit_code == 0
    counts = json.loads(result.stdout)
    assert set(counts) == {
        "instances",
        "studies",
        "jobs",
        "deliveries",
        "pairings",
        "commitments",
        "problems",
    }
    assert counts["instances"] == {"received": 0, "decoded": 1, "quarantined": 1}
    assert counts["deliveries"]["dead"] == 1


def test_status_for_people(site: _Site) -> None:
    result = site.run("status")
    assert "received 0  decoded 1  quarantined 1" in result.stdout
    assert "cardionode retry --all" in result.stdout


def test_show_tells_the_whole_story(site: _Site) -> None:
    result = site.run("show", STUDY)
    assert result.exit_code == 0
    for words in (
        STUDY,
        "quarantined",
        "no pixels",
        "one beat is not in view",
        "analyse",
        "refused: ?[31m0x0122",
        "Step by step",
    ):
        assert words in result.stdout
    assert "\x1b" not in result.stdout


def test_show_takes_the_name_of_the_log(site: _Site) -> None:
    name = uid_hash(site.key, STUDY)
    assert STUDY in site.run("show", f"uid:{name}").stdout
    assert STUDY in site.run("show", name).stdout


def test_show_for_programs(site: _Site) -> None:
    shown = json.loads(site.run("show", STUDY, "--json").stdout)
    assert shown["study"]["study_uid"] == STUDY
    assert {instance["row"]["state"] for instance in shown["instances"]} == {
        "decoded",
        "quarantined",
    }
    assert shown["events"][0]["what"]


def test_unknown_study(site: _Site) -> None:
    for command in ("show", "replay"):
        result = site.run(command, "1.2.3")
        assert result.exit_code == 1
        assert "no such study" in result.stdout


def test_retry_without_a_running_node(site: _Site) -> None:
    result = site.run("retry", STUDY)
    assert result.exit_code == 0
    assert result.stdout.startswith("1 deliveries and jobs")
    assert site.counts()["deliveries"]["dead"] == 0
    assert site.run("retry", "--all").stdout.startswith("Nothing was given up")


def test_replay_without_a_running_node(site: _Site) -> None:
    assert site.run("replay", STUDY).stdout.startswith("1 instances will be analysed")
    assert site.counts()["jobs"]["waiting"] == 1


def test_retry_beside_a_running_node(site: _Site) -> None:
    stop = threading.Event()
    with site.data_dir, Ledger.open(site.data_dir.ledger) as ledger:

        def serve() -> None:
            while not stop.wait(0.02):
                request_box(site.data_dir).answer_all(ledger)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            result = site.run("retry", "--all")
        finally:
            stop.set()
            thread.join()
        assert result.stdout.startswith("1 deliveries and jobs")
        assert ledger.counts()["deliveries"]["dead"] == 0


def test_retry_wants_one_study_or_all(site: _Site) -> None:
    assert site.run("retry").exit_code == 2
    assert site.run("retry", STUDY, "--all").exit_code == 2


@pytest.mark.parametrize("command", [["status"], ["show", "1.2"], ["retry", "--all"]])
def test_no_ledger_is_said_and_none_is_made(tmp_path: Path, command: list[str]) -> None:
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "var"\n', encoding="utf-8")
    result = CliRunner().invoke(app, [*command, "--config", str(config)])
    assert isinstance(result.exception, LedgerError)
    assert not (tmp_path / "var").exists()


def _process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments], capture_output=True, text=True, timeout=60
    )


def test_check_config_as_a_process(tmp_path: Path) -> None:
    good = _process("check-config", "deploy/node.toml")
    assert good.returncode == 0
    assert "CARDIONODE on 127.0.0.1:11112" in good.stdout
    bad = tmp_path / "bad.toml"
    bad.write_text('[listen]\nport = 0\n[node]\ndevice = "tpu"\n', encoding="utf-8")
    result = _process("check-config", str(bad))
    assert result.returncode == 2
    assert result.stdout.splitlines()[1:] == [
        'node.device: "tpu" is not allowed: auto, cpu, cuda or cuda:N',
        "listen.port: 0 is not allowed: 1 to 65535",
    ]


def test_errors_are_one_sentence_and_a_status(tmp_path: Path) -> None:
    broken = _process("status", "--config", str(tmp_path / "absent.toml"))
    assert broken.returncode == 2
    assert "can't be read" in broken.stderr
    config = tmp_path / "node.toml"
    config.write_text("", encoding="utf-8")
    empty = _process("status", "--config", str(config))
    assert empty.returncode == 1
    assert empty.stderr.startswith("There is no ledger yet")
    assert "Traceback" not in empty.stderr


def test_help_teaches() -> None:
    assert "cardionode demo" in _process("--help").stdout
