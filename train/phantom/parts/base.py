"""What a part of a cohort is: arrays with equally many rows for each patient, and their truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """What to simulate.

    Attributes
    ----------
    patients
        Number of patients, numbered from 0.
    seed
        Determines every patient and every image.
    view_frames
        Frames kept per patient and view for the view network.
    processes
        Processes that render side by side.
    """

    patients: int
    seed: int = 1
    view_frames: int = 4
    processes: int = 2


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Shape of one array of a part: ``(patients x rows_per_patient, *shape)``."""

    rows_per_patient: int
    shape: tuple[int, ...]
    dtype: npt.DTypeLike = np.uint8


@dataclass(frozen=True, slots=True)
class Rendered:
    """One patient's rows.

    Attributes
    ----------
    arrays
        By name, ``(rows_per_patient, *shape)`` each.
    rows
        What is known, plain JSON, in the order of the arrays' rows; each has ``patient_id``.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    rows: Sequence[Mapping[str, Any]] = field(default=())


class Part(Protocol):
    """A kind of data that a cohort can have.

    Attributes
    ----------
    name
        Begins the names of its files.
    """

    name: str

    def arrays(self, plan: CohortPlan) -> Mapping[str, ArraySpec]:
        """Say which arrays it has."""
        ...

    def render(self, patient_id: int, plan: CohortPlan) -> Rendered:
        """Simulate one patient."""
        ...
