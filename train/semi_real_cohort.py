"""Builds the semi-real cohort: real ECGs, real films, what is measured and what networks see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.cxr_net import CxrNet
from models.ecg_input import prepare
from models.ecg_measure import EcgMeasures, measure
from models.ecg_net import EcgNet
from models.ecg_quality import ecg_problem
from train.datasets.ctr_films import read_ctr_films
from train.datasets.ptbxl import read_database, read_record
from train.scoring.chunks import chunks
from train.semi_real import Modality, folds_of
from train.semi_real_label import PairLabel, ecg_scores, standardised, tuned_label

_WINDOWS = 3
_BATCH = 8


@dataclass(frozen=True, slots=True)
class RealEcg:
    """One ECG that the node would take.

    Attributes
    ----------
    person
        Tells persons apart.
    windows
        ``(windows, 12, 1000)``.
    measures
        Of its median beat.
    """

    person: str
    windows: npt.NDArray[np.float32]
    measures: EcgMeasures


@dataclass(frozen=True, slots=True)
class SemiReal:
    """Both sides, and the label of their pairs; `refused` ECGs did not pass the quality gate."""

    ecg: Modality
    xray: Modality
    label: PairLabel
    refused: int


def read_ecgs(folder: Path) -> tuple[list[RealEcg], int]:
    """Read the ECGs of a PTB-XL folder that pass the node's quality gate; count the others."""
    found, refused = [], 0
    for record in read_database(folder):
        recording = read_record(record.path)
        prepared = None if ecg_problem(recording) else prepare(recording, _WINDOWS)
        measures = None if prepared is None else measure(prepared.signal)
        if prepared is None or measures is None:
            refused += 1
        else:
            found.append(RealEcg(f"person-{record.patient_id}", prepared.windows, measures))
    return found, refused


def build_semi_real(
    ecg_net: EcgNet, cxr_net: CxrNet, ecg_folder: Path, film_folder: Path
) -> SemiReal:
    """Measure and score every ECG and every film.

    Parameters
    ----------
    ecg_net, cxr_net
        Trained on phantoms, in evaluation mode.
    ecg_folder
        PTB-XL.
    film_folder
        Of :func:`train.datasets.ctr_films.read_ctr_films`.
    """
    ecgs, refused = read_ecgs(ecg_folder)
    films = read_ctr_films(film_folder)
    measured = [ecg.measures for ecg in ecgs]
    label = tuned_label(
        ecg_scores(
            np.array([m.voltage_mv for m in measured]),
            np.array([m.qrs_ms for m in measured]),
            np.array([m.strain_mv for m in measured]),
        ),
        standardised(np.array([film.ratio for film in films])),
    )
    score, features = _hear(ecg_net, ecgs)
    heard = Modality(score, features, folds_of([ecg.person for ecg in ecgs]))
    score, features = _see(cxr_net, np.stack([film.grey for film in films]))
    seen = Modality(score, features, folds_of([film.name for film in films]))
    return SemiReal(heard, seen, label, refused)


def _hear(
    network: EcgNet, ecgs: list[RealEcg]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    scores, features = [], []
    for positions in chunks(len(ecgs), _BATCH):
        cut = [ecgs[k].windows for k in positions]
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(torch.from_numpy(np.concatenate(cut)))
        ends = np.cumsum([len(windows) for windows in cut])[:-1].tolist()
        scores += [s.mean() for s in np.split(found.score.double().numpy(), ends)]
        features += [f.mean(0) for f in np.split(found.features.double().numpy(), ends)]
    return np.array(scores), np.stack(features)


def _see(
    network: CxrNet, films: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    scores, features = [], []
    for positions in chunks(len(films), _BATCH):
        with torch.inference_mode():
            pooled = network.pooled(network.features(torch.from_numpy(films[positions, None])))
            scores.append(network.decide(pooled).double().numpy())
            features.append(pooled.double().numpy())
    return np.concatenate(scores), np.concatenate(features)
