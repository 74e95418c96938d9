"""How unusual an input is: the distance of its features from those of the validation patients.

The features are the pooled maps before a network's last layer. Mahalanobis's distance is taken
with a low-rank covariance, as in probabilistic PCA (Tipping and Bishop, J. R. Stat. Soc. B 1999,
section 3): the few directions in which validation inputs vary most have a variance each, and all
others share one, so that what no validation input does counts most. A diagonal covariance can't
tell a probe in air from an echo (77th percentile; this one: above the 99th).

The distance's rank among those of the validation inputs is what a reader sees, a percentile. The
distance of each validation input is measured against the other patients only; otherwise the
statistics would know it already, and new patients would look unusual.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_MOST_DIRECTIONS = 16
#: Of all directions together; a card is a text that people open.
_MOST_NUMBERS = 16_384
_INPUTS_PER_DIRECTION = 8
_FOLDS = 5
#: A feature that hardly varied says little of new inputs: its spread counts as at least this
#: share of the features' median spread.
_LEAST_SPREAD = 0.1
_LEAST_VARIANCE = 1e-3
_QUANTILES = 101

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Shape:
    """Where the features of many inputs lie.

    Attributes
    ----------
    mean, spread
        Of each feature, ``(features,)``; `spread` is a standard deviation with a floor.
    directions
        Of most variance among the standard scores, int8, ``(directions, features)``; each is to
        be scaled to length 1.
    variances
        Along the directions, and last that of any other direction, ``(directions + 1,)``.
    """

    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]
    directions: npt.NDArray[np.int8]
    variances: npt.NDArray[np.float32]

    @classmethod
    def of(cls, values: Floats) -> Self:
        mean, spread = values.mean(0), values.std(0)
        varying = spread[spread > 0]
        floor = _LEAST_SPREAD * float(np.median(varying)) if varying.size else 1.0
        spread = np.maximum(spread, floor)
        scores = (values - mean) / spread
        inputs, features = scores.shape
        kept = min(
            _MOST_DIRECTIONS, _MOST_NUMBERS // features, inputs // _INPUTS_PER_DIRECTION,
            features // 2,
        )  # fmt: skip
        _, singular, rows = np.linalg.svd(scores, full_matrices=False)
        variances = singular**2 / inputs
        rest = variances[kept:].sum() / max(features - kept, 1)
        return cls(
            mean.astype(np.float32),
            spread.astype(np.float32),
            _as_int8(rows[:kept]),
            np.maximum([*variances[:kept], rest], _LEAST_VARIANCE).astype(np.float32),
        )

    def distances(self, features: Floats) -> Floats:
        scores = (features - self.mean) / self.spread
        units = self.directions.astype(np.float64)
        units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1.0)
        along = scores @ units.T
        rest = ((scores - along @ units) ** 2).sum(1) / self.variances[-1]
        squared = (along**2 / self.variances[:-1]).sum(1) + rest
        return np.asarray(np.sqrt(squared / scores.shape[1]), dtype=np.float64)


@dataclass(frozen=True)
class FeatureStatistics:
    """Features of the validation patients, in few numbers.

    Attributes
    ----------
    inputs
        How many there were.
    quantiles
        Distances of the validation inputs at 0, 1 ... 100 %, increasing.
    limit
        Percentile above which an input is outside the training distribution.
    policy
        How the limit was chosen.
    """

    shape: _Shape
    inputs: int
    quantiles: Floats
    limit: float = 99.0
    policy: str = "farther from the validation patients' features than 99 % of their own inputs"

    @classmethod
    def fit(
        cls, features: npt.NDArray[np.floating[Any]], patients: Sequence[int] | None = None
    ) -> Self:
        """Measure the validation inputs.

        Parameters
        ----------
        features
            ``(inputs, features)``, finite.
        patients
            Of each input; each input is its own when None.

        Raises
        ------
        ValueError
            Fewer than two inputs, or numbers that are not finite.
        """
        values = np.asarray(features, dtype=np.float64)
        if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError("feature statistics need two or more inputs with finite features")
        owners = np.arange(len(values)) if patients is None else np.asarray(patients)
        shape = _Shape.of(values)
        held_out = [_Shape.of(values[~held]).distances(values[held]) for held in _folds(owners)]
        distances = np.concatenate(held_out) if held_out else shape.distances(values)
        quantiles = np.quantile(distances, np.linspace(0, 1, _QUANTILES))
        return cls(shape, len(values), np.array([float(f"{each:.4g}") for each in quantiles]))

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_json` wrote.

        Raises
        ------
        ValueError
            Something is missing, or does not fit together.
        """
        try:
            mean, spread = (_decoded(table[key], np.float32) for key in ("mean", "spread"))
            shape = _Shape(
                mean,
                spread,
                _decoded(table["directions"], np.int8).reshape(-1, len(mean)),
                np.array(table["variances"], dtype=np.float32),
            )
            quantiles = np.array(table["quantiles"], dtype=np.float64)
            return cls(
                shape, int(table["inputs"]), quantiles, float(table["limit"]), str(table["policy"])
            )
        except KeyError as error:
            raise ValueError(f"the feature statistics lack {error}") from error

    def as_json(self) -> dict[str, Any]:
        """Write it for a card: arrays of features little-endian in base64, float32 or int8."""
        shape = self.shape
        return {
            "limit": self.limit,
            "policy": self.policy,
            "inputs": self.inputs,
            "quantiles": self.quantiles.tolist(),
            "variances": [float(f"{each:.4g}") for each in shape.variances],
            "mean": _encoded(shape.mean.astype("<f4")),
            "spread": _encoded(shape.spread.astype("<f4")),
            "directions": _encoded(shape.directions),
        }

    def percentile(self, features: npt.NDArray[np.floating[Any]]) -> Floats:
        """Share of the validation inputs that are less unusual.

        Parameters
        ----------
        features
            ``(inputs, features)``.

        Returns
        -------
        0 to 100, ``(inputs,)``; 100 for what is farther than every validation input.

        Raises
        ------
        ValueError
            The features are of another network.
        """
        values = np.asarray(features, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.shape.mean):
            raise ValueError(f"not {len(self.shape.mean)} features of each input: {values.shape}")
        levels = np.linspace(0, 100, len(self.quantiles))
        return np.interp(self.shape.distances(values), self.quantiles, levels)


def _folds(owners: npt.NDArray[Any]) -> list[npt.NDArray[np.bool_]]:
    """Which inputs are held out, whole patients each time; none when there is one patient."""
    _, number = np.unique(owners, return_inverse=True)
    folds = min(_FOLDS, int(number.max()) + 1)
    return [number % folds == fold for fold in range(folds)] if folds > 1 else []


def _as_int8(rows: Floats) -> npt.NDArray[np.int8]:
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True, initial=0.0), 1e-12)
    return np.round(rows / largest * 127).astype(np.int8)


def _encoded(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _decoded(text: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    kind = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(dtype)
