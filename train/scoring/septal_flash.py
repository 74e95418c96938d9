"""Scores septal flash on patients, one strip each, and whether the network looks at the flash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.cam import enlarged, grad_cam_plus_plus
from models.probability import Platt
from models.septal_flash_net import SIZE, SeptalFlashNet, resize_state
from models.unusual import FeatureStatistics
from models.virtual_m_mode import Variant
from train import checkpoint, metrics
from train.calibration import Threshold, fit_platt, threshold_for_balanced
from train.datasets.septum import SeptumStrips
from train.report import Report
from train.scoring.chunks import chunks
from train.splits import Split

_BATCH = 16
#: Grey levels; the septum of a twentieth of the simulated patients does not reach it: they are
#: recorded with so little gain that it is black.
_LEAST_CONTRAST = 20.0
#: Lines of a validation patient by which all that is fitted is fitted.
_HELD_OFFSETS = (-5, 0, 5)


@dataclass(frozen=True, slots=True)
class _Scores:
    """Of the strips of some patients: logit of present over absent, and pooled features."""

    logit: npt.NDArray[np.float64]
    features: npt.NDArray[np.float64]


def evaluate_septal_flash(
    network: nn.Module,
    cohort: Path,
    split: Split,
    variant: Variant,
    whole_weights: Path | None = None,
) -> Report:
    """Score DenseNet121 per patient; calibrate and choose the threshold on the validation patients.

    Parameters
    ----------
    network
        A :class:`SeptalFlashNet` for 256 pixels.
    cohort, split
        Whom to score.
    variant
        What the network was trained on.
    whole_weights
        Checkpoint of the network of the whole variant; its numbers are given as ``whole_...``.
    """
    if not isinstance(network, SeptalFlashNet):
        raise TypeError("not a SeptalFlashNet")
    held = SeptumStrips(cohort, "val", SIZE, variant, offsets=_HELD_OFFSETS)
    held_scores = _predict(network, held)
    # Three lines of each patient: the middle ones alone are too few to choose a threshold by.
    shown = held.contrast() >= _LEAST_CONTRAST
    platt = fit_platt(held.truth[shown], held_scores.logit[shown])
    threshold = threshold_for_balanced(held.truth[shown], platt(held_scores.logit[shown]))
    data = SeptumStrips(cohort, split, SIZE, variant, offsets=(0,))
    table: dict[str, Any] = {
        "split": split,
        "variant": variant,
        "patients": len(data),
        "with_flash": int(data.truth.sum()),
        "withheld": int((data.contrast() < _LEAST_CONTRAST).sum()),
        "borders": "found by echo_e3net" if split != "train" else "true, displaced",
        **_numbers(network, data, platt, threshold),
    }
    if whole_weights is not None and whole_weights.exists():
        other = SeptalFlashNet(SIZE).eval()
        other.load_state_dict(resize_state(checkpoint.load(whole_weights).averaged, SIZE))
        beside = evaluate_septal_flash(other, cohort, split, "whole")
        names = ("accuracy", "auroc", "sensitivity", "specificity", "localisation")
        table |= {f"whole_{n}": beside.metrics[n] for n in names if n in beside.metrics}
    return Report(
        table,
        {
            "septal_flash_probability": threshold.as_json(),
            "septum_contrast": {
                "value": _LEAST_CONTRAST,
                "policy": "fixed: grey levels by which the septum has to stand out to be read; "
                "other strips are withheld, and left out of the metrics but for auroc_of_all",
            },
        },
        platt.as_json("septal_flash"),
        FeatureStatistics.fit(held_scores.features).as_json(),
    )


def _numbers(
    network: SeptalFlashNet, data: SeptumStrips, platt: Platt, threshold: Threshold
) -> dict[str, Any]:
    shown = np.flatnonzero(data.contrast() >= _LEAST_CONTRAST)
    every = platt(_predict(network, data).logit)
    truth, probability = data.truth[shown], every[shown]
    patients = np.asarray(data.patient_ids)[shown]
    called = (probability >= threshold.value).astype(np.int64)
    table: dict[str, Any] = {
        name: metrics.bootstrap(metric, (truth, values), patients).as_json()
        for name, metric, values in (
            ("accuracy", metrics.accuracy, called),
            ("auroc", metrics.auroc, probability),
            ("sensitivity", metrics.sensitivity, called),
            ("specificity", metrics.specificity, called),
        )
    }
    table["auroc_of_all"] = metrics.bootstrap(
        metrics.auroc, (data.truth, every), data.patient_ids
    ).as_json()
    found = shown[(truth == 1) & (called == 1)]
    if len(found):
        inside, area = _localisation(network, data, found.tolist())
        owners = np.asarray(data.patient_ids)[found]
        table["localisation"] = metrics.bootstrap(_mean, (inside,), owners).as_json()
        table["localisation_by_chance"] = round(float(area.mean()), 4)
    return table


def _predict(network: SeptalFlashNet, data: SeptumStrips) -> _Scores:
    logits, features = [], []
    device = next(network.parameters()).device
    for positions in chunks(len(data), _BATCH):
        strips = torch.from_numpy(data.batch(positions, None)["strips"]).to(device)
        with torch.inference_mode():
            last = network.features(strips)
            both = network.decide(last)
        logits.append((both[:, 1] - both[:, 0]).cpu().numpy())
        features.append(last.mean((2, 3)).float().cpu().numpy())
    return _Scores(
        np.concatenate(logits).astype(np.float64), np.concatenate(features).astype(np.float64)
    )


def _localisation(
    network: SeptalFlashNet, data: SeptumStrips, positions: list[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of Grad-CAM++ in septum x early systole, and that place's share of the strip."""
    inside, area = [], []
    device = next(network.parameters()).device
    for position in positions:
        strips = torch.from_numpy(data.batch([position], None)["strips"]).to(device)
        with torch.enable_grad():
            last = network.features(strips).detach().requires_grad_()
            cam = grad_cam_plus_plus(last, network.decide(last)[:, 1])
        heat = enlarged(cam, (SIZE, SIZE))[0].cpu().numpy()
        place = data.place(position)
        inside.append(float(heat[place].sum() / max(float(heat.sum()), 1e-12)))
        area.append(float(place.mean()))
    return np.array(inside), np.array(area)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean())
