"""Findings without their weights: named, and no reason not to start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.cards import WEIGHTS_FOLDER
from node.commands.check_config import weights_problems
from node.config import Settings
from node.findings import FINDINGS
from node.findings.echo_view import EchoView
from node.findings.ejection_fraction import EjectionFraction
from node.installed import look_for_weights

VIEW, FRACTION = EchoView(), EjectionFraction()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in WEIGHTS_FOLDER.glob("view_net.*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_one_missing_network_costs_only_its_finding(folder: Path) -> None:
    installed = look_for_weights([VIEW, FRACTION], folder)
    assert set(installed.cards) == {"view_net"}
    assert installed.problem_of(VIEW) is None
    assert installed.problem_of(FRACTION) == "no readable card echo_e3net.json"


def test_another_blob_than_the_cards_is_a_problem(folder: Path) -> None:
    path = folder / "view_net.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    problem = look_for_weights([VIEW], folder).problem_of(VIEW)
    assert problem == "view_net.safetensors is not the blob that its card describes"


def test_every_network_of_a_finding_counts(folder: Path) -> None:
    finding = EchoView()
    finding.networks = ("view_net", "first", "second")
    problem = look_for_weights([finding], folder).problem_of(finding)
    assert problem == "no readable card first.json; no readable card second.json"


def test_a_card_that_lacks_a_field_is_a_problem(folder: Path) -> None:
    path = folder / "view_net.json"
    table = json.loads(path.read_text())
    del table["statement"]
    path.write_text(json.dumps(table))
    assert "lacks fields" in str(look_for_weights([VIEW], folder).problem_of(VIEW))


def test_the_operator_is_told_of_enabled_findings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EchoView()
    broken.name, broken.networks = "broken", ("lost",)
    monkeypatch.setattr("node.findings.FINDINGS", (*FINDINGS[:1], broken))
    told = weights_problems(Settings())
    assert told == ["broken will not be analysed: no readable card lost.json"]
    broken.needs = ("echo_view",)
    monkeypatch.setattr(EchoView, "networks", ("view_lost",))
    alone = Settings.model_validate({"findings": {"enabled": ["broken"]}})
    assert weights_problems(alone)[0] == (
        "echo_view will not be analysed: no readable card view_lost.json"
    )
    monkeypatch.undo()
    few = Settings.model_validate({"findings": {"enabled": ["echo_view"]}})
    assert weights_problems(few) == []
