"""Scores the shipped networks on the semi-real cohort and says so in their cards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.cards import write_card
from models.cxr_net import CxrNet
from models.ecg_net import EcgNet
from models.weights import load_network
from train.semi_real import score_semi_real
from train.semi_real_cohort import build_semi_real

_PREFIX = "semi_real_"


def run_semi_real(
    ecg_folder: Path, film_folder: Path, out: Path, weights: Path, write: bool
) -> dict[str, Any]:
    """Score both networks of a folder of weights.

    Parameters
    ----------
    ecg_folder, film_folder
        Real data; see train.semi_real_cohort.
    out
        Gets ``semi_real.json``.
    weights
        Holds ``ecg_net`` and ``cxr_net``.
    write
        Put the numbers into both cards.

    Returns
    -------
    The numbers.
    """
    ecg_net, ecg_card = load_network("ecg_net", weights)
    cxr_net, cxr_card = load_network("cxr_net", weights)
    if not isinstance(ecg_net, EcgNet) or not isinstance(cxr_net, CxrNet):
        raise TypeError("the weights are of other networks")
    cohort = build_semi_real(ecg_net, cxr_net, ecg_folder, film_folder)
    rho = float(ecg_card.metrics.get("rho", 0.0))
    found = {
        **score_semi_real(cohort.ecg, cohort.xray, cohort.label, rho),
        f"{_PREFIX}refused_ecgs": cohort.refused,
        f"{_PREFIX}label": {
            "slope_ecg": round(cohort.label.slope_ecg, 4),
            "slope_xray": round(cohort.label.slope_xray, 4),
            "intercept": round(cohort.label.intercept, 4),
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "semi_real.json").write_text(json.dumps(found, indent=1) + "\n")
    if write:
        for card in (ecg_card, cxr_card):
            kept = {k: v for k, v in card.metrics.items() if not k.startswith(_PREFIX)}
            write_card(replace(card, metrics={**kept, **found}), weights)
    return found
