"""Every network: its size, its golden tensors; every card: what it says of its blob."""

from __future__ import annotations

import pytest
import torch

from models.cards import SIMULATED, WEIGHTS_FOLDER, Card, read_card, verified_blob
from models.weights import NETWORKS, count_parameters, load_network
from node.findings import FINDINGS
from node.inference.tasks import LOADERS
from tests.golden import INPUTS, answer, golden

#: Learnable numbers of the papers' networks, and how far ours may be off: what they publish is
#: rounded, or leaves choices open. ViewNet is our own.
_PARAMETERS: dict[str, tuple[int, float]] = {
    "CxrNet": (3_372_289, 0.0),  # Lite0 with one score instead of 1000
    "EcgNet": (18_060_000, 0.01),
    "EchoE3Net": (6_800_000, 0.01),
    "RsmasNet": (17_630_000, 0.005),
    "SeptalFlashNet": (6_955_906, 0.0),
    "ValveClassifier": (8_616_993, 0.0),
    "ValveDetector": (7_022_326, 0.0),
    "ViewNet": (949_733, 0.0),
}
_CARDS = sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.json"))
_MOST_BYTES = 80 << 20

each_network = pytest.mark.parametrize("name", sorted(NETWORKS))
each_card = pytest.mark.parametrize("name", _CARDS)


@each_network
def test_a_network_has_the_size_of_its_paper(name: str) -> None:
    published, tolerance = _PARAMETERS[name]
    assert count_parameters(NETWORKS[name]()) == pytest.approx(published, rel=tolerance)


@each_network
def test_a_network_computes_what_it_always_did(name: str) -> None:
    assert name in INPUTS, (
        "give it an input in tests/golden.py, then: python -m tests.golden --write"
    )
    expected, found = golden(name), answer(name)
    assert set(found) == set(expected)
    for output, values in expected.items():
        assert values.std() > 1e-4 * values.abs().max(), f"{output} hardly depends on anything"
        scale = float(values.abs().max())
        torch.testing.assert_close(found[output], values, rtol=1e-3, atol=1e-4 * scale)


def test_weights_and_cards_come_in_pairs() -> None:
    assert sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors")) == _CARDS


def test_all_weights_together_are_small_enough_to_ship() -> None:
    blobs = WEIGHTS_FOLDER.glob("*.safetensors")
    assert sum(path.stat().st_size for path in blobs) <= _MOST_BYTES


def test_every_weights_of_a_finding_have_tasks_in_the_host() -> None:
    assert {name for finding in FINDINGS for name in finding.networks} == set(LOADERS)


@each_card
def test_a_card_tells_the_truth(name: str) -> None:
    card = read_card(name)
    assert card.name == name
    verified_blob(card)
    network, _ = load_network(name)
    assert type(network).__name__ == card.network
    assert count_parameters(network) == card.parameters
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert card.macs > 0
    _check_words(card)


@each_card
def test_a_card_can_tell_unusual_inputs(name: str) -> None:
    from models.unusual import FeatureStatistics

    statistics = FeatureStatistics.from_json(read_card(name).feature_statistics)
    assert statistics.inputs >= 100
    assert 95 <= statistics.limit < 100
    assert (statistics.quantiles[1:] >= statistics.quantiles[:-1]).all()


def _check_words(card: Card) -> None:
    for words in (card.version, card.training_data, card.licence, card.intended_use):
        assert words.strip()
    if "simulated" in card.training_data:
        assert card.statement == SIMULATED
    assert card.statement.strip()
    for threshold in card.thresholds.values():
        assert threshold["policy"].strip()
        assert 0 <= float(threshold["value"]) < 100  # an entropy may have to be 0
        assert float(threshold["value"]) != 0.5  # by habit
    assert "/" not in card.name
    assert card.finding in [finding.name for finding in FINDINGS]
