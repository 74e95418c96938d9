"""What a finding is: how it reads one instance, explains what it saw, and speaks for a study.

A finding is a small class that knows its network, its input and its codes. It sees typed inputs
and returns primitives; it knows nothing of DICOM objects, of torch, or of where it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.cards import Card
from models.inputs import Clip, ClipWindow, Still, TypedInput
from models.preprocess import SIZE, Sector, fit_sector, resample, square_window
from models.r_peaks import RPeaks, find_r_peaks
from node.errors import NotAnalysableError, NotApplicableError
from node.facts import Kind
from node.results.primitives import Code, Group, ImageReference

Arrays = dict[str, npt.NDArray[Any]]
#: What a finding learnt from one instance: plain JSON, kept in the ledger until the report.
Observation = dict[str, Any]


class Networks(Protocol):
    """Where networks run (an inference executor)."""

    def run(self, network: str, task: str, arrays: Arrays) -> Arrays:
        """Run one task of a network.

        Raises
        ------
        HostDiedError
            The host died while it worked on it.
        """
        ...


@dataclass(frozen=True)
class Missed:
    """Why a finding made no observation.

    Attributes
    ----------
    applies
        Whether there would be something to find; else the instance is none of its business.
    reason
        For people.
    """

    applies: bool
    reason: str


@dataclass
class Subject:
    """One decoded instance on its way through the findings.

    What several findings need (the sector, the reduced frames, the view) is computed once here.

    Attributes
    ----------
    image
        The instance, without a frame.
    kind, input
        What it was decoded to.
    earlier
        Observations of the findings that ran before, by their names.
    missed
        Why others of them have none, by their names.
    answers
        What networks said that several findings ask, by the networks' names.
    """

    image: ImageReference
    kind: Kind
    input: TypedInput
    earlier: dict[str, Observation] = field(default_factory=dict)
    missed: dict[str, Missed] = field(default_factory=dict)
    answers: dict[str, Arrays] = field(default_factory=dict)

    @cached_property
    def frames(self) -> npt.NDArray[np.uint8]:
        """Luminance, ``(frames, rows, columns)``; a still is one frame.

        Raises
        ------
        NotApplicableError
            The instance has no ultrasound frames.
        """
        if isinstance(self.input, Clip):
            return self.input.frames
        if isinstance(self.input, Still):
            return self.input.frame[None]
        raise NotApplicableError("not an ultrasound image")

    @cached_property
    def sector(self) -> Sector:
        """Where the echo sector lies.

        Raises
        ------
        NotApplicableError
            There is none, or it is a rectangle.
        NotAnalysableError
            The header says where it is, but it can't be seen; or its edges are too dark.
        """
        frames = self.frames
        region = self.input.region if isinstance(self.input, Clip | Still) else None
        ecg = self.input.ecg_strip if isinstance(self.input, Clip | Still) else None
        sector = fit_sector(frames, region, ecg)
        if sector is None and region is not None:
            raise NotAnalysableError("nothing can be seen where the header has the image")
        if sector is None:
            raise NotApplicableError("no ultrasound sector was found in the image")
        if not sector.is_fan:
            if sector.is_rectangle:
                raise NotApplicableError("the sector is a rectangle: not an echo probe's")
            raise NotAnalysableError("the edges of the sector are too dark, or it is no echo's fan")
        return sector

    @cached_property
    def window(self) -> ClipWindow:
        """The square of the source that networks see."""
        return square_window(self.sector)

    @cached_property
    def reduced(self) -> npt.NDArray[np.uint8]:
        """The networks' frames, ``(frames, 112, 112)``, black outside the sector."""
        return resample(self.frames, self.window, self.sector.mask)

    @cached_property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Which cells of the networks' frames lie in the sector, ``(112, 112)``."""
        mask = np.where(self.sector.mask, np.uint8(255), np.uint8(0))
        return np.asarray(resample(mask[None], self.window)[0] > 127)

    @cached_property
    def r_peaks(self) -> RPeaks | None:
        """Two or more R peaks of a clip, by its vector or the trace in its frames; else None."""
        return find_r_peaks(self.input) if isinstance(self.input, Clip) else None

    @cached_property
    def r_peak_times_ms(self) -> tuple[float, ...]:
        """The times of :attr:`r_peaks`, or the one that a short clip has, or none."""
        if self.r_peaks is not None:
            return self.r_peaks.times_ms
        return self.input.r_wave_times_ms if isinstance(self.input, Clip) else ()

    @property
    def cells(self) -> int:
        """Side of the networks' frames in pixels."""
        return SIZE


@dataclass(frozen=True)
class Explanation:
    """Where a network looked in the source's own frames, and what to write under it.

    The source is a clip, a still or a radiograph; the last two have one frame.

    Attributes
    ----------
    maps
        0 to 1, ``(maps, rows, columns)``.
    positions
        0-based source frame of each map, increasing.
    window
        Where the maps lie in the source.
    outlines
        For some frames (0-based) a closed border in source pixels, ``(points, 2)``.
    headline
        The result in a few words, e.g. ``LVEF 56 % (A4C)``.
    method
        How the maps were made (CID 217).
    """

    maps: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float64]
    window: ClipWindow
    outlines: Mapping[int, npt.NDArray[np.float64]]
    headline: str
    method: Code


@dataclass(frozen=True)
class Drawing:
    """A picture that a finding draws itself, for what the source's frames can't show.

    Attributes
    ----------
    frames
        RGB, ``(frames, rows, columns, 3)``, without a banner. As many frames as the source has
        keep its timing; another number are pages.
    headline
        The result in a few words.
    method
        How what is shown of the network was made (CID 217).
    """

    frames: npt.NDArray[np.uint8]
    headline: str
    method: Code


class Finding(Protocol):
    """One clinical finding.

    Attributes
    ----------
    name, title
        In snake_case, and for people.
    networks
        Names of its weights; the first is the network that decides, and names the result.
    needs
        Names of the findings whose observations it reads. They come before it, and are asked even
        where they are not enabled.
    kinds
        Inputs it takes.
    series_number
        Number of its reports' series; captures follow it.
    """

    name: str
    title: str
    networks: tuple[str, ...]
    needs: tuple[str, ...]
    kinds: frozenset[Kind]
    series_number: int

    def analyse(
        self, subject: Subject, networks: Networks, cards: Mapping[str, Card]
    ) -> Observation:
        """Read one instance.

        Parameters
        ----------
        cards
            Of the finding's networks, by name.

        Raises
        ------
        NotApplicableError
            The finding has nothing to say about such an instance.
        NotAnalysableError
            It should have, but this one does not allow it.
        """
        ...

    def headline(self, observation: Observation) -> str:
        """Say an observation in a few words."""
        ...

    def explain(
        self, subject: Subject, observation: Observation, networks: Networks
    ) -> Explanation | Drawing:
        """Show where the network looked for an observation."""
        ...

    def summarise(
        self, observations: Sequence[tuple[ImageReference, Observation]]
    ) -> tuple[Group, ...]:
        """Speak for the study: its answer first, then one group per instance; never empty input."""
        ...
