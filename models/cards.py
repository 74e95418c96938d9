"""The card beside each weights blob: what the weights are, where from, how good, for what.

Reading a card needs no torch, so findings can name their network without loading it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

SIMULATED = "trained on simulated data, not for clinical use"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"


class BadWeightsError(ValueError):
    """Weights without a valid card, or that are not the ones the card describes."""


@dataclass(frozen=True, slots=True)
class Card:
    """A description of one weights blob.

    Attributes
    ----------
    name, version
        Of the weights; the blob is ``<name>.safetensors``.
    network
        Class that the weights belong to, e.g. ``EchoE3Net``.
    finding
        The finding that uses them.
    sha256
        Hex digest of the blob.
    parameters, macs
        Learnable numbers in the network; multiply-adds of one forward pass of one input.
    training_data, licence, intended_use, statement
        Sentences for people; `statement` goes into every result.
    normalisation
        How the network's input is normalised; done inside the network.
    input
        What the network takes, e.g. ``{"frames": 32, "period": 2, "size": 112}``.
    metrics
        For each measured number ``{"value", "low", "high"}`` with a 95 % interval.
    thresholds
        For each threshold ``{"value", "policy"}``; the policy says how it was chosen.
    calibration
        Numbers that turn outputs into calibrated ones, e.g. ``{"temperature": 1.3}``.
    paper
        The paper's figures on its own data, by metric, and ``source``.
    encoding
        How the blob is written: ``float16`` or ``int8``.
    feature_statistics
        Numbers about the training data that tell unusual inputs, where there are any.
    """

    name: str
    version: str
    network: str
    finding: str
    sha256: str
    parameters: int
    training_data: str
    licence: str
    normalisation: dict[str, Any]
    input: dict[str, Any]
    metrics: dict[str, Any]
    thresholds: dict[str, Any]
    intended_use: str
    statement: str
    calibration: dict[str, float] = field(default_factory=dict)
    feature_statistics: dict[str, Any] = field(default_factory=dict)
    macs: int = 0
    paper: dict[str, Any] = field(default_factory=dict)
    encoding: Literal["float16", "int8"] = "float16"

    def threshold(self, name: str) -> float:
        """Return a threshold's value.

        Raises
        ------
        BadWeightsError
            When the card has none of that name.
        """
        try:
            return float(self.thresholds[name]["value"])
        except KeyError as error:
            raise BadWeightsError(f"the card of {self.name} has no threshold {name}") from error


def read_card(name: str, folder: Path = WEIGHTS_FOLDER) -> Card:
    """Read ``<name>.json``.

    Raises
    ------
    BadWeightsError
        When it is missing, not JSON, or lacks or adds a field.
    """
    path = folder / f"{name}.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadWeightsError(f"no readable card {path.name}") from error
    known = {f.name for f in fields(Card)}
    optional = {"calibration", "feature_statistics", "macs", "paper", "encoding"}
    if not isinstance(table, dict) or not known - optional <= set(table) <= known:
        raise BadWeightsError(f"card {path.name} lacks fields or has unknown ones")
    return Card(**table)


def write_card(card: Card, folder: Path = WEIGHTS_FOLDER) -> Path:
    """Write ``<name>.json`` and return its path."""
    path = folder / f"{card.name}.json"
    path.write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")
    return path


def verified_blob(card: Card, folder: Path = WEIGHTS_FOLDER) -> bytes:
    """Read ``<name>.safetensors`` and compare its digest with the card.

    Raises
    ------
    BadWeightsError
        When it is missing or another one.
    """
    path = folder / f"{card.name}.safetensors"
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise BadWeightsError(f"no readable weights {path.name}") from error
    if sha256(blob).hexdigest() != card.sha256:
        raise BadWeightsError(f"{path.name} is not the blob that its card describes")
    return blob
