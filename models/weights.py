"""Loads and saves weights: a safetensors blob beside a card, verified before use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.cards import WEIGHTS_FOLDER, BadWeightsError, Card, read_card, verified_blob, write_card
from models.cxr_net import CxrNet
from models.ecg_net import EcgNet
from models.echo_e3net import EchoE3Net
from models.encoding import decode, encode
from models.rsmas_net import RsmasNet
from models.septal_flash_net import SeptalFlashNet
from models.valve_classifier import ValveClassifier
from models.view_net import ViewNet
from models.yolo.detector import ValveDetector

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "CxrNet": CxrNet,
    "EcgNet": EcgNet,
    "EchoE3Net": EchoE3Net,
    "RsmasNet": RsmasNet,
    "SeptalFlashNet": SeptalFlashNet,
    "ValveClassifier": ValveClassifier,
    "ValveDetector": ValveDetector,
    "ViewNet": ViewNet,
}


def save_weights(state: Mapping[str, Tensor], card: Card, folder: Path = WEIGHTS_FOLDER) -> Card:
    """Write ``<name>.safetensors``, encoded as the card says, and ``<name>.json``.

    Parameters
    ----------
    state
        The network's state dict.
    card
        Its `sha256` is filled in here.
    folder
        Made when absent.

    Returns
    -------
    The card as written.

    Raises
    ------
    BadWeightsError
        When a number is not finite as it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = encode(state, card.encoding)
    broken = [k for k, v in encoded.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise BadWeightsError(f"not finite as {card.encoding}: {', '.join(broken)}")
    blob = save(encoded)
    (folder / f"{card.name}.safetensors").write_bytes(blob)
    written = replace(card, sha256=sha256(blob).hexdigest())
    write_card(written, folder)
    return written


def load_network(name: str, folder: Path = WEIGHTS_FOLDER) -> tuple[nn.Module, Card]:
    """Build a network and load its weights; in evaluation mode, float32, on the CPU.

    Raises
    ------
    BadWeightsError
        When card and blob don't belong together, or the blob does not fit the network.
    """
    card = read_card(name, folder)
    blob = verified_blob(card, folder)
    if card.network not in NETWORKS:
        raise BadWeightsError(f"no network is called {card.network}")
    network = NETWORKS[card.network]()
    try:
        network.load_state_dict(decode(load(blob)))
    except (SafetensorError, RuntimeError) as error:
        raise BadWeightsError(f"the blob of {name} does not fit {card.network}") from error
    return network.eval(), card


def count_parameters(network: nn.Module) -> int:
    """Count the learnable numbers."""
    return sum(p.numel() for p in network.parameters())
