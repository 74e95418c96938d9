"""Scores stenosis screening per patient: both modalities together, each alone, and the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from models.probability import Platt
from models.stenosis_fusion import StenosisFusion
from models.unusual import FeatureStatistics
from train import metrics
from train.calibration import Threshold, fit_platt, threshold_for_sensitivity
from train.datasets.fusion import FusionPairs
from train.paired_test import delong
from train.scoring.chunks import chunks

Floats = npt.NDArray[np.float64]

WINDOWS = 2  # of each ECG, averaged
_BATCH = 16
MODALITIES = ("ecg", "xray")


@dataclass(frozen=True, slots=True)
class PatientScores:
    """What the networks say of N patients, and what is true of them.

    Attributes
    ----------
    label
        0 or 1, ``(N,)``.
    ecg, xray
        f_e, the mean over windows, and f_x, ``(N,)``.
    ecg_features, xray_features
        ``(N, 256)`` and ``(N, 1280)``.
    best, best_ecg, best_xray
        The scores that no network can beat: the label's probability given all that the images were
        made of, or given one of them; ``(N,)``, any monotone function of it.
    patients
        Identity of each patient.
    """

    label: npt.NDArray[np.int64]
    ecg: Floats
    xray: Floats
    ecg_features: Floats
    xray_features: Floats
    best: Floats
    best_ecg: Floats
    best_xray: Floats
    patients: tuple[int, ...]

    @property
    def both(self) -> Floats:
        """f_e + f_x."""
        return self.ecg + self.xray

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put patients side by side; they count as different persons."""
        names = [name for name in cls.__slots__ if name != "patients"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        ids = tuple(range(sum(len(part.patients) for part in parts)))
        return cls(**arrays, patients=ids)


def predict(
    network: StenosisFusion,
    data: FusionPairs,
    windows: int = WINDOWS,
    most: int | None = None,
    low_precision: bool = True,
) -> PatientScores:
    """Score patients.

    Parameters
    ----------
    network
        In evaluation mode.
    data
        Whom to score.
    windows
        Windows of each ECG at most.
    most
        Patients at most, the first ones.
    low_precision
        bfloat16, as a GPU node computes; agrees with float32 within 1e-2.
    """
    count = len(data) if most is None else min(most, len(data))
    device = next(network.parameters()).device
    found: dict[str, list[npt.NDArray[Any]]] = {"ecg": [], "xray": [], "ef": [], "xf": []}
    for positions in chunks(count, _BATCH):
        cut = [data.windows(position, windows) for position in positions]
        owner = np.repeat(np.arange(len(cut)), [len(c) for c in cut])
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=low_precision),
        ):
            heard = network.ecg(torch.from_numpy(np.concatenate(cut)).to(device))
            films = torch.from_numpy(data.films(positions)).to(device)
            pooled = network.xray.pooled(network.xray.features(films))
            seen = network.xray.decide(pooled)
        found["ecg"].append(_mean_by(owner, heard.score.float().cpu().numpy()[:, None])[:, 0])
        found["ef"].append(_mean_by(owner, heard.features.float().cpu().numpy()))
        found["xray"].append(seen.float().cpu().numpy())
        found["xf"].append(pooled.float().cpu().numpy())
    truth = [data.truth(position) for position in range(count)]
    arrays = {name: np.concatenate(parts).astype(np.float64) for name, parts in found.items()}
    return PatientScores(
        label=np.array([int(t["label"]) for t in truth]),
        ecg=arrays["ecg"],
        xray=arrays["xray"],
        ecg_features=arrays["ef"],
        xray_features=arrays["xf"],
        best=np.array([t["probability"] for t in truth]),
        best_ecg=np.array([t["ecg_score"] for t in truth]),
        best_xray=np.array([t["score"] for t in truth]),
        patients=tuple(data.patient_ids[:count]),
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """What goes into the report; fields as of train.tasks.base.Report."""

    metrics: dict[str, Any]
    thresholds: dict[str, Any]
    calibration: dict[str, float]
    feature_statistics: dict[str, Any]


def summary_of(
    held: PatientScores, scored: PatientScores, about: dict[str, Any], draws: int = 1000
) -> Summary:
    """Calibrate and choose thresholds on validation patients, and score others.

    Parameters
    ----------
    held
        The validation patients.
    scored
        Those whom the metrics speak of.
    about
        Put in front of the metrics.
    draws
        Of the bootstrap.

    Returns
    -------
    Thresholds and calibration of ``stenosis`` (the sum of both scores) and of ``ecg`` and ``xray``
    alone; feature statistics of ``ecg_net`` and ``cxr_net``.
    """
    calibration: dict[str, float] = {}
    thresholds: dict[str, Any] = {}
    table = {**about, **ranking(scored, draws)}
    for name, source in (("stenosis", "both"), ("ecg", "ecg"), ("xray", "xray")):
        platt = fit_platt(held.label, getattr(held, source))
        threshold = threshold_for_sensitivity(held.label, platt(getattr(held, source)))
        calibration |= platt.as_json(name)
        thresholds[f"{name}_probability"] = threshold.as_json()
        prefix = "" if source == "both" else f"{name}_alone_"
        table |= _decisions(scored, platt, threshold, source, prefix, draws)
    statistics = {
        "ecg_net": FeatureStatistics.fit(held.ecg_features).as_json(),
        "cxr_net": FeatureStatistics.fit(held.xray_features).as_json(),
    }
    return Summary(table, thresholds, calibration, statistics)


def ranking(scored: PatientScores, draws: int = 1000) -> dict[str, Any]:
    """AUROCs and precision of the sum and of each score alone, beside the best possible ones."""
    table: dict[str, Any] = {
        "patients": len(scored.label),
        "with_stenosis": int(scored.label.sum()),
    }
    pairs = {
        "auroc": scored.both,
        "auroc_ecg_alone": scored.ecg,
        "auroc_xray_alone": scored.xray,
        "best_possible_auroc": scored.best,
        "best_possible_auroc_ecg_alone": scored.best_ecg,
        "best_possible_auroc_xray_alone": scored.best_xray,
    }
    for name, score in pairs.items():
        arrays = (scored.label, score)
        table[name] = metrics.bootstrap(metrics.auroc, arrays, scored.patients, draws).as_json()
    table["share_of_best"] = metrics.bootstrap(
        share_of_best, (scored.label, scored.both, scored.best), scored.patients, draws
    ).as_json()
    table["auroc_minus_ecg_alone"] = delong(scored.label, scored.both, scored.ecg).as_json()
    table["auroc_minus_xray_alone"] = delong(scored.label, scored.both, scored.xray).as_json()
    alone = {"": scored.both, "_ecg_alone": scored.ecg, "_xray_alone": scored.xray}
    for name, score in alone.items():
        arrays = (scored.label, score)
        estimate = metrics.bootstrap(metrics.average_precision, arrays, scored.patients, draws)
        table[f"auprc{name}"] = estimate.as_json()
    return table


def share_of_best(label: metrics.Integers, score: metrics.Floats, best: metrics.Floats) -> float:
    """How far the AUROC is on its way from 0.5 to the best possible one; NaN where that is 0.5."""
    possible = metrics.auroc(label, best) - 0.5
    return (metrics.auroc(label, score) - 0.5) / possible if possible else float("nan")


def _decisions(
    scored: PatientScores,
    platt: Platt,
    threshold: Threshold,
    source: str,
    prefix: str,
    draws: int,
) -> dict[str, Any]:
    probability = platt(getattr(scored, source))
    called = (probability >= threshold.value).astype(np.int64)
    named = (("sensitivity", metrics.sensitivity), ("specificity", metrics.specificity))
    return {
        f"{prefix}{name}": metrics.bootstrap(
            metric, (scored.label, called), scored.patients, draws
        ).as_json()
        for name, metric in named
    }


def _mean_by(owner: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    summed = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(summed, owner, values)
    return np.asarray(summed / np.bincount(owner)[:, None])
