"""The page about the weights says what the cards say."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.cards import WEIGHTS_FOLDER, BadWeightsError, Card, write_card
from train.__main__ import app
from train.weights_page import PAGE, read_cards, weights_page

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:.*pytree.*:FutureWarning"
)


def _card(name: str = "tiny_net") -> Card:
    return Card(
        name=name,
        version="2.0",
        network="TinyNet",
        finding="echo_view",
        sha256="ab" * 32,
        parameters=1234567,
        training_data="7 simulated patients | no patient data",
        licence="MIT",
        normalisation={"where": "in the network"},
        input={"size": 112, "views": ["PLAX", "A4C"]},
        metrics={
            "split": "test",
            "frame_balanced_accuracy": {"value": 0.91234, "low": 0.9, "high": 0.92},
            "best_possible_frame_balanced_accuracy": 0.95,
            "views": ["PLAX", "A4C"],
            "clip_confusion": [[9, 1], [0, 8]],
        },
        thresholds={"view_probability": {"value": 0.62, "policy": "99 % are called rightly"}},
        encoding="int8",
        macs=250_000_000,
        paper={"source": "a paper", "frame_balanced_accuracy": 0.89, "unmeasured": 1.0},
        intended_use="tests",
        statement="trained on simulated data",
    )


def test_page_tells_every_number_of_a_card(tmp_path: Path) -> None:
    write_card(_card("b_net"), tmp_path)
    write_card(_card("a_net"), tmp_path)
    page = weights_page(read_cards(tmp_path))
    for line in (
        "| echo_view | [a_net 2.0](#a_net) | TinyNet | 1,234,567 | 0.25 | int8 | "
        "7 simulated patients \\| no patient data |",
        "| echo_view | frame balanced accuracy | 0.89 | 0.9123 (0.9 to 0.92) | 0.95 |",
        "| frame balanced accuracy | 0.9123 | 0.9 to 0.92 |",
        "| clips of PLAX were called | 9 PLAX, 1 A4C |  |",
        "| clips of A4C were called | 8 A4C |  |",
        "| view probability | 0.62 | 99 % are called rightly |",
        "| input | size 112; views PLAX, A4C |",
        "| statement in every result | trained on simulated data |",
    ):
        assert line in page.splitlines()
    compared = [line for line in page.splitlines() if line.startswith("| echo_view | frame")]
    assert len(compared) == 1  # both cards have the same figure
    assert "unmeasured" not in page
    assert page.index("## a_net") < page.index("## b_net")
    assert "calibration" not in page  # the card has none


def test_command_prints_or_writes(tmp_path: Path) -> None:
    write_card(_card(), tmp_path)
    printed = CliRunner().invoke(app, ["cards", "--weights", str(tmp_path)])
    assert printed.exit_code == 0
    assert not (tmp_path / PAGE).exists()
    CliRunner().invoke(app, ["cards", "--weights", str(tmp_path), "--write"])
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == printed.stdout.rstrip("\n") + "\n"


def test_bad_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(BadWeightsError, match=r"broken\.json"):
        read_cards(tmp_path)


def test_page_of_this_project_is_up_to_date() -> None:
    page = (WEIGHTS_FOLDER / PAGE).read_text(encoding="utf-8")
    assert page == weights_page(read_cards()), "run `python -m train cards --write`"
