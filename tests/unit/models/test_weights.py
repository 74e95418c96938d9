"""Weights are loaded only with their card, and only when they are what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.cards import SIMULATED, BadWeightsError, Card, read_card
from models.encoding import Encoding, decode, encode
from models.view_net import ViewNet
from models.weights import count_parameters, load_network, save_weights


def _saved(folder: Path) -> tuple[ViewNet, Card]:
    torch.manual_seed(0)
    network = ViewNet().eval()
    card = Card(
        name="view_net",
        version="0.1",
        network="ViewNet",
        finding="echo_view",
        sha256="",
        parameters=count_parameters(network),
        training_data="none",
        licence="MIT",
        normalisation={},
        input={"size": 112},
        metrics={},
        thresholds={"view_probability": {"value": 0.6, "policy": "chosen by hand"}},
        intended_use="tests",
        statement=SIMULATED,
    )
    return network, save_weights(network.state_dict(), card, folder)


def test_round_trip_in_half_precision(tmp_path: Path) -> None:
    network, written = _saved(tmp_path)
    loaded, card = load_network("view_net", tmp_path)
    assert card == written
    assert card.threshold("view_probability") == 0.6
    assert (tmp_path / "view_net.safetensors").stat().st_size < 2.1 * card.parameters
    frames = torch.rand(2, 1, 112, 112) * 255
    with torch.inference_mode():
        torch.testing.assert_close(loaded(frames), network(frames), rtol=0.02, atol=0.02)
    assert next(loaded.parameters()).dtype == torch.float32
    assert not loaded.training


def test_a_changed_blob_is_refused(tmp_path: Path) -> None:
    _saved(tmp_path)
    path = tmp_path / "view_net.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(bytes(blob))
    with pytest.raises(BadWeightsError, match="not the blob"):
        load_network("view_net", tmp_path)


def test_missing_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWeightsError, match="no readable card"):
        read_card("view_net", tmp_path)
    _saved(tmp_path)
    (tmp_path / "view_net.safetensors").unlink()
    with pytest.raises(BadWeightsError, match="no readable weights"):
        load_network("view_net", tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"statement": None}, "lacks fields"),
        ({"colour": "red"}, "unknown"),
        ({"network": "OtherNet"}, "no network"),
        ({"network": "EchoE3Net"}, "does not fit"),
    ],
)
def test_a_wrong_card_is_refused(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    _saved(tmp_path)
    path = tmp_path / "view_net.json"
    table = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in table.items() if v is not None}))
    with pytest.raises(BadWeightsError, match=reason):
        load_network("view_net", tmp_path)


def test_an_unknown_threshold_is_an_error(tmp_path: Path) -> None:
    _, card = _saved(tmp_path)
    with pytest.raises(BadWeightsError, match="no threshold"):
        card.threshold("other")


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, broken: float) -> None:
    network, card = _saved(tmp_path)
    with pytest.raises(BadWeightsError, match="not finite"):
        save_weights({"w": torch.tensor([broken])}, card, tmp_path)
    assert count_parameters(network) == card.parameters


@pytest.mark.parametrize("encoding", ["float16", "int8"])
def test_small_arrays_beyond_half_precision_stay_as_they_are(encoding: Encoding) -> None:
    state = {"norm.running_var": torch.tensor([7e4, 0.1]), "norm.weight": torch.tensor([3.0, 0.1])}
    encoded = encode(state, encoding)
    assert encoded["norm.weight"].dtype == torch.float16
    assert torch.equal(decode(encoded)["norm.running_var"], state["norm.running_var"])
