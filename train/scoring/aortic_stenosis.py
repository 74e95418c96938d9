"""Scores RSMAS-Net on single frames, on clips and on whole studies, as the node answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.probability import Platt, logit
from models.rsmas_net import VIEWS, RsmasNet
from models.unusual import FeatureStatistics
from models.valve_phase import EJECTION
from models.view_priority import ENTROPY_GRID, RELEVANCE_GRID, ViewPriority
from models.weights import load_network
from train import metrics
from train.calibration import (
    Threshold,
    fit_platt,
    threshold_for_balanced,
    threshold_for_sensitivity,
)
from train.datasets.stills import NO_SEVERITY, StenosisStills
from train.report import Report
from train.scoring.chunks import chunks
from train.scoring.valve_heat import heat_at_valve, valve_heat_table
from train.splits import Split

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_BATCH = 64
_SENSITIVITY = 0.95
_VIEW_NET = "view_net"
#: Share of the validation studies in which no image may pass the view rule.
_MOST_FALLBACKS = 0.1


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network says of images or studies, with the truth.

    Attributes
    ----------
    stenosis, severity
        Probabilities, ``(N,)``.
    stenosis_truth, severity_truth
        0 or 1; severity -1 without stenosis, ``(N,)``.
    patients
        ``(N,)``.
    """

    stenosis: Floats
    severity: Floats
    stenosis_truth: Integers
    severity_truth: Integers
    patients: Integers

    def chosen(self, rows: npt.NDArray[Any]) -> Answers:
        """Keep some rows."""
        return Answers(
            self.stenosis[rows],
            self.severity[rows],
            self.stenosis_truth[rows],
            self.severity_truth[rows],
            self.patients[rows],
        )

    @property
    def diseased(self) -> Answers:
        """Those with a stenosis, whose severity is known."""
        return self.chosen(self.severity_truth != NO_SEVERITY)


@dataclass(frozen=True, slots=True)
class Scored:
    """Frames of one split and their clips; clips are what the node calls instances.

    Attributes
    ----------
    views, certain
        Of each clip: mean view probabilities ``(N, 5)``, and whether the finding takes it.
    features
        Of each frame, ``(frames, 1024)``.
    heat
        Of each frame, see :func:`~train.scoring.valve_heat.heat_at_valve`, ``(frames, 2)``.
    """

    frames: Answers
    frame_views: npt.NDArray[np.str_]
    clips: Answers
    views: Floats
    certain: npt.NDArray[np.bool_]
    features: Floats
    heat: Floats


@dataclass(frozen=True, slots=True)
class Phases:
    """The same patients twice: by frames of ejection alone, and by frames of any phase.

    The node takes the first where it knows the R peaks.
    """

    ejection: Scored
    any_phase: Scored


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What validation patients decide for one choice of frames."""

    calibration: dict[str, Platt]
    thresholds: dict[str, Threshold]


def evaluate_stenosis(network: nn.Module, cohort: Path, split: Split = "test") -> Report:
    """Score both questions; calibration, thresholds and the view rule are of validation patients.

    A study's answer is that of the finding: clips in a certain standard view, one probability each
    (the mean over its frames), combined by view priority and then calibrated.

    Returns
    -------
    Accuracy, sensitivity, specificity and area under the ROC curve for studies, the areas for
    clips, frames and the frames of each view, and those of a bare mean over a study's clips. All
    of them from frames with the valve open, and again with ``any_phase_`` from all frames; and how
    often the outline of what was salient holds the valve.
    """
    chosen_on, scored = _read(network, cohort, "val"), _read(network, cohort, split)
    rule = choose_rule(chosen_on.ejection)
    every = scored.any_phase.frames
    table: dict[str, Any] = {
        "split": split,
        "patients": len(set(every.patients.tolist())),
        "frames": len(every.patients),
    }
    calibration: dict[str, float] = {}
    thresholds: dict[str, Any] = {
        "view_relevance": {"value": rule.least_relevance, "policy": _RULE_POLICY},
        "view_entropy": {"value": rule.most_entropy, "policy": _RULE_POLICY},
    }
    for prefix, held, tested in (
        ("", chosen_on.ejection, scored.ejection),
        ("any_phase_", chosen_on.any_phase, scored.any_phase),
    ):
        fitted = _fit(held, rule)
        table |= {f"{prefix}{k}": v for k, v in _scores(tested, rule, fitted).items()}
        for name, platt in fitted.calibration.items():
            calibration |= platt.as_json(f"{prefix}{name}")
        thresholds |= {f"{prefix}{k}": v.as_json() for k, v in fitted.thresholds.items()}
    table |= valve_heat_table(scored.ejection.heat, scored.ejection.frames.patients)
    held = chosen_on.any_phase
    statistics = FeatureStatistics.fit(held.features, held.frames.patients.tolist())
    return Report(table, thresholds, calibration, statistics.as_json())


_RULE_POLICY = (
    "largest area under the ROC curve of studies of the validation patients, of the rules that "
    "nine in ten studies have an image for"
)


def _fit(held: Scored, rule: ViewPriority) -> _Fitted:
    """Calibrate, then choose thresholds, on validation patients."""
    found, _ = studies(held, rule)
    ill, clips = found.diseased, held.clips
    stenosis = fit_platt(found.stenosis_truth, logit(found.stenosis))
    severity = fit_platt(ill.severity_truth, logit(ill.severity))
    return _Fitted(
        {
            "study_stenosis": stenosis,
            "study_severity": severity,
            "instance_stenosis": fit_platt(clips.stenosis_truth, logit(clips.stenosis)),
            "instance_severity": fit_platt(
                clips.diseased.severity_truth, logit(clips.diseased.severity)
            ),
        },
        {
            "stenosis_probability": threshold_for_sensitivity(
                found.stenosis_truth, stenosis(logit(found.stenosis)), _SENSITIVITY
            ),
            "severity_probability": threshold_for_balanced(
                ill.severity_truth, severity(logit(ill.severity))
            ),
        },
    )


def _scores(scored: Scored, rule: ViewPriority, fitted: _Fitted) -> dict[str, Any]:
    """The table of one choice of frames."""
    found, fallbacks = studies(scored, rule)
    table = {"studies": len(found.patients), "studies_by_fallback": fallbacks}
    for answers, question in ((found, "stenosis"), (found.diseased, "severity")):
        name = f"study_{question}"
        threshold = fitted.thresholds[f"{question}_probability"]
        table |= _decisions(name, answers, fitted.calibration[name], threshold, question)
    return {**table, **_areas(scored)}


def studies(cohort: Scored, rule: ViewPriority) -> tuple[Answers, int]:
    """Answer for each patient who has a clip that the finding takes; count the fallbacks."""
    rows, fallbacks = [], 0
    clips = cohort.clips
    for patient in np.unique(clips.patients):
        own = np.flatnonzero((clips.patients == patient) & cohort.certain)
        if not len(own):
            continue
        said = np.stack([clips.stenosis[own], clips.severity[own]], axis=1)
        answer = rule.combine(cohort.views[own], said)
        fallbacks += answer.fallback
        first = own[0]
        rows.append(
            (*answer.answers, clips.stenosis_truth[first], clips.severity_truth[first], patient)
        )
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    floats = [column.astype(np.float64) for column in columns[:2]]
    integers = [column.astype(np.int64) for column in columns[2:]]
    return Answers(floats[0], floats[1], integers[0], integers[1], integers[2]), fallbacks


def choose_rule(cohort: Scored) -> ViewPriority:
    """Search F2's grids; among equals the strictest relevance, then the loosest entropy.

    A rule that most studies fail is none: their answers would all be called undetermined.
    """
    best, best_score = ViewPriority(RELEVANCE_GRID[0], ENTROPY_GRID[-1]), -1.0
    scores: dict[bytes, float] = {}  # many rules let the same clips pass
    for least in RELEVANCE_GRID:
        for most in ENTROPY_GRID:
            rule = ViewPriority(least, most)
            passing = rule.passes(cohort.views).tobytes()
            if passing not in scores:
                found, fallbacks = studies(cohort, rule)
                speaks = fallbacks <= _MOST_FALLBACKS * len(found.patients)
                area = metrics.auroc(found.stenosis_truth, found.stenosis)
                scores[passing] = area if speaks else -2.0
            if scores[passing] >= best_score:
                best, best_score = rule, scores[passing]
    return best


def _decisions(
    name: str, answers: Answers, calibration: Platt, threshold: Threshold, question: str
) -> dict[str, Any]:
    """Numbers of one question at its threshold, with intervals over patients."""
    raw, truth = getattr(answers, question), getattr(answers, f"{question}_truth")
    probability = calibration(logit(raw))
    called = (probability >= threshold.as_json()["value"]).astype(np.int64)
    scores: dict[str, Any] = {
        f"{name}_auc": metrics.bootstrap(metrics.auroc, (truth, probability), answers.patients)
    }
    for metric in (
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.sensitivity,
        metrics.specificity,
        metrics.f1,
    ):
        estimate = metrics.bootstrap(metric, (truth, called), answers.patients)
        scores[f"{name}_{metric.__name__}"] = estimate
    brier = metrics.bootstrap(_brier, (truth, probability), answers.patients)
    return {key: value.as_json() for key, value in {**scores, f"{name}_brier": brier}.items()}


def _areas(scored: Scored) -> dict[str, Any]:
    """Areas under the ROC curve for frames, frames of each view, clips, and bare study means."""
    everything = ViewPriority(least_relevance=-1.0, most_entropy=np.inf)
    even = Scored(
        scored.frames,
        scored.frame_views,
        scored.clips,
        np.full_like(scored.views, 0.2),
        scored.certain,
        scored.features,
        scored.heat,
    )
    groups = {"frame": scored.frames, "clip": scored.clips, "mean": studies(even, everything)[0]}
    for view in VIEWS:
        groups[f"frame_{view}"] = scored.frames.chosen(scored.frame_views == view)
    table = {}
    for name, answers in groups.items():
        ill = answers.diseased
        table[f"{name}_stenosis_auc"] = metrics.bootstrap(
            metrics.auroc, (answers.stenosis_truth, answers.stenosis), answers.patients
        ).as_json()
        table[f"{name}_severity_auc"] = metrics.bootstrap(
            metrics.auroc, (ill.severity_truth, ill.severity), ill.patients
        ).as_json()
    return table


def _read(network: nn.Module, cohort: Path, split: Split) -> Phases:
    """Run both networks on the frames of one split."""
    if not isinstance(network, RsmasNet):
        raise TypeError(f"RSMAS-Net is scored here, not {type(network).__name__}")
    data = StenosisStills(cohort, split)
    view_net, card = load_network(_VIEW_NET)
    stenosis, severity, features, views, heat = [], [], [], [], []
    for frames, valve_at in _frames(data):
        with torch.inference_mode():
            last = network.features(frames.to(next(network.parameters()).device))
            logits = network.decide(last)
            seen = view_net(frames) / card.calibration.get("temperature", 1.0)
        stenosis.append(logits.stenosis.float().softmax(1)[:, 1].cpu())
        severity.append(logits.severity.float().softmax(1)[:, 1].cpu())
        features.append(network.pooled(last).float().cpu())
        views.append(seen.softmax(1))
        heat.append(heat_at_valve(network, last, valve_at))
    each = Answers(
        torch.cat(stenosis).double().numpy(),
        torch.cat(severity).double().numpy(),
        data.stenosis,
        data.severity,
        np.array(data.patient_ids, np.int64),
    )
    # The view of a clip is that of all its frames, whichever of them are asked for the valve.
    owner = np.unique(data.clip_ids, return_inverse=True)[1].astype(np.int64)
    view = _mean_by(owner, torch.cat(views).double().numpy())[owner]
    certain = (view.argmax(1) < len(VIEWS)) & (view.max(1) >= card.threshold("view_probability"))
    own = np.array(data.views)
    seen_by, hot = torch.cat(features).double().numpy(), np.concatenate(heat)

    def of(rows: npt.NDArray[Any]) -> Scored:
        _, first, clip = np.unique(owner[rows], return_index=True, return_inverse=True)
        frames = each.chosen(rows)
        return Scored(
            frames,
            own[rows],
            _mean_answers(frames, clip.astype(np.int64), first),
            view[rows][first],
            certain[rows][first],
            seen_by[rows],
            hot[rows],
        )

    every = np.arange(len(owner))
    open_at = (data.phases >= EJECTION[0]) & (data.phases <= EJECTION[1])
    # Stills of no known phase have only the one reading.
    return Phases(of(np.flatnonzero(open_at) if open_at.any() else every), of(every))


def _frames(data: StenosisStills) -> Iterator[tuple[torch.Tensor, Floats]]:
    for positions in chunks(len(data), _BATCH):
        batch = data.batch(positions, None)
        yield torch.from_numpy(batch["frames"]), batch["valve_at"].astype(np.float64)


def _mean_answers(frames: Answers, clip: Integers, first: npt.NDArray[Any]) -> Answers:
    """One answer for each clip, counted from 0; `first` is the first frame of each."""
    truth = frames.chosen(first)
    return Answers(
        _mean_by(clip, frames.stenosis[:, None])[:, 0],
        _mean_by(clip, frames.severity[:, None])[:, 0],
        truth.stenosis_truth,
        truth.severity_truth,
        truth.patients,
    )


def _mean_by(owner: Integers, values: Floats) -> Floats:
    summed = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(summed, owner, values)
    return np.asarray(summed / np.bincount(owner)[:, None])


def _brier(truth: Integers, probability: Floats) -> float:
    return float(np.mean((probability - truth) ** 2))
