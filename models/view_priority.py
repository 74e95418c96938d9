"""One answer for a study from many images: views that show the valve count, the others don't.

After Huang, Long, Wessler and Hughes, "A new semi-supervised learning benchmark for classifying
view and diagnosing aortic stenosis from echocardiograms", MLHC 2021 (view-prioritised diagnosis).
They skip a study in which no image passes; here all its images answer, weighted by relevance, and
the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]

#: Views that show the aortic valve, by position in the probabilities: PLAX and PSAX.
_RELEVANT = (0, 1)
#: Where the original looks for its two limits, on the validation patients.
RELEVANCE_GRID: tuple[float, ...] = tuple(round(float(v), 2) for v in np.linspace(0.80, 0.99, 20))
ENTROPY_GRID: tuple[float, ...] = tuple(round(float(v), 2) for v in np.linspace(0.0, 1.6, 17))


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """What the images of one study say together.

    Attributes
    ----------
    answers
        Weighted mean, ``(K,)``.
    weights
        Share of each image in it, sum 1, ``(N,)``.
    fallback
        No image passed: all of them spoke.
    """

    answers: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    fallback: bool


@dataclass(frozen=True, slots=True)
class ViewPriority:
    """The rule and its two limits.

    Attributes
    ----------
    least_relevance
        An image passes with at least this ``p(PLAX) + p(PSAX)``.
    most_entropy
        And with at most this entropy of its view, nats.
    """

    least_relevance: float
    most_entropy: float

    def passes(self, views: Floats) -> npt.NDArray[np.bool_]:
        """Say which images speak: probabilities of the views ``(N, 5)`` to ``(N,)``."""
        kept = relevance(views) >= self.least_relevance
        return np.asarray(kept & (entropy(views) <= self.most_entropy))

    def combine(self, views: Floats, answers: Floats) -> StudyAnswer:
        """Weigh the images of one study.

        Parameters
        ----------
        views
            Probabilities of PLAX, PSAX, A4C, A2C and other, ``(N, 5)``, N of 1 or more.
        answers
            What each image says, ``(N, K)``.
        """
        kept = self.passes(views)
        fallback = not bool(kept.any())
        weights = relevance(views) * (kept | fallback)
        total = float(weights.sum())
        share = weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
        return StudyAnswer(share @ np.asarray(answers, np.float64), share, fallback)


def relevance(views: Floats) -> npt.NDArray[np.float64]:
    """``p(PLAX) + p(PSAX)`` of each image, ``(N,)``."""
    return np.asarray(np.asarray(views, np.float64)[:, list(_RELEVANT)].sum(1))


def entropy(views: Floats) -> npt.NDArray[np.float64]:
    """Entropy of each image's view, nats, ``(N,)``."""
    p = np.asarray(views, np.float64)
    return np.asarray(-np.sum(p * np.log(np.clip(p, 1e-12, 1.0)), axis=1))
