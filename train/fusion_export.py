"""Divides the networks of stenosis screening into the two blobs and cards that the node loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from models.cards import Card
from models.cxr_net import SIZE
from models.ecg import LEADS, RATE_HZ, WINDOW
from models.stenosis_fusion import StenosisFusion
from models.weights import count_parameters, save_weights
from train.imagenet_start import CREDIT
from train.tasks.ecg_features import MACS as ECG_MACS
from train.tasks.xray_features import MACS as XRAY_MACS

#: Which of the calibrations and thresholds each card holds: those of the sum are in both.
_NAMES = {"ecg_net": ("stenosis", "ecg"), "cxr_net": ("stenosis", "xray")}


def export_both(network: StenosisFusion, card: Card, folder: Path) -> tuple[Card, Card]:
    """Write ``ecg_net`` and ``cxr_net``.

    Parameters
    ----------
    network
        Both networks.
    card
        Of the two together; its feature statistics are by the networks' names.
    folder
        Receives blobs and cards.
    """
    ecg = _part(
        card,
        "ecg_net",
        network.ecg,
        ECG_MACS,
        {"leads": list(LEADS), "samples": WINDOW, "hz": RATE_HZ, "unit": "mV"},
        {"where": "in the network", "kind": "batch normalisation of millivolts, baseline at 0"},
    )
    xray = _part(
        card,
        "cxr_net",
        network.xray,
        XRAY_MACS,
        {"size": SIZE, "range": "grey 0 to 255, air dark", "views": ["PA", "AP"]},
        {"where": "in the network", "kind": "as the ImageNet weights expect"},
    )
    xray = replace(xray, licence=f"{card.licence}; started from {CREDIT}")
    return (
        save_weights(network.ecg.state_dict(), ecg, folder),
        save_weights(network.xray.state_dict(), xray, folder),
    )


def _part(
    card: Card,
    name: str,
    network: nn.Module,
    macs: int,
    takes: dict[str, Any],
    normalisation: dict[str, Any],
) -> Card:
    prefixes = _NAMES[name]

    def own(table: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in table.items() if k.startswith(tuple(f"{p}_" for p in prefixes))}

    return replace(
        card,
        name=name,
        network=type(network).__name__,
        parameters=count_parameters(network),
        macs=macs,
        input=takes,
        normalisation=normalisation,
        thresholds=own(card.thresholds),
        calibration=own(card.calibration),
        feature_statistics=card.feature_statistics[name],
    )
