"""How much an ECG and a chest X-ray can tell of aortic stenosis: known, so that the best is known.

Within each class two scores, one of the ECG and one of the X-ray, are jointly Gaussian with unit
variance; the classes' means differ so that the best possible AUROC of either alone is the paper's
(0.775 and 0.755, Front. Radiol. 2025, 1698680), and within a class they correlate. What the images
show (voltage, QRS width, strain; heart size, calcium) are the scores' coordinates along a fixed
direction, plus noise in the directions across it, which carry nothing about the disease.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

#: Distance of the class means: AUROC = Phi(d / sqrt 2).
ECG_SEPARATION = 1.0684  # 0.775
XRAY_SEPARATION = 0.9763  # 0.755
CORRELATION = 0.25  # within a class; with it the best of both together is 0.820

#: Unit directions: voltage, QRS width, strain; heart size, arch calcium.
ECG_DIRECTION = np.array([0.70, 0.35, 0.62]) / sqrt(0.70**2 + 0.35**2 + 0.62**2)
XRAY_DIRECTION = np.array([0.8, 0.6])


@dataclass(frozen=True, slots=True)
class Scores:
    """What the two images tell, standardised within a class, and what they imply together.

    Attributes
    ----------
    ecg, xray
        The scores.
    probability, probability_of_ecg, probability_of_xray
        Of the label: given both scores, one of them; the best that any network could say.
    """

    ecg: float
    xray: float
    probability: float
    probability_of_ecg: float
    probability_of_xray: float


def draw_scores(label: bool, prevalence: float, rng: np.random.Generator) -> Scores:
    """Draw the scores of one patient.

    Parameters
    ----------
    label
        Moderate or severe stenosis.
    prevalence
        Share of the label in the cohort.
    """
    side = 0.5 if label else -0.5
    shared = np.array([[1.0, CORRELATION], [CORRELATION, 1.0]])
    noise = np.linalg.cholesky(shared) @ rng.normal(size=2)
    means = np.array([ECG_SEPARATION, XRAY_SEPARATION])
    ecg, xray = (side * means + noise).tolist()
    prior = float(np.log(prevalence / (1.0 - prevalence)))
    both = float(means @ np.linalg.solve(shared, np.array([ecg, xray])))
    return Scores(
        ecg=ecg,
        xray=xray,
        probability=_sigmoid(both + prior),
        probability_of_ecg=_sigmoid(ECG_SEPARATION * ecg + prior),
        probability_of_xray=_sigmoid(XRAY_SEPARATION * xray + prior),
    )


def spread(
    score: float, direction: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw coordinates whose component along `direction` is the score.

    Returns
    -------
    As many as the direction has; ``direction @ coordinates`` gives the score back.
    """
    noise = rng.normal(size=len(direction))
    return np.asarray(direction * (score - direction @ noise) + noise)


def _sigmoid(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))
