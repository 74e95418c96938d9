"""What findings say, independent of how it is written: measurements, codes, regions, references.

After the primitives of IHE AI Results (AIR). Findings return them; writers and destinations
consume them and know no finding by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8): value, scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


PERCENT = Code("%", "UCUM", "Percent")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An instance of the study, and the frame in it that is meant.

    Attributes
    ----------
    frame
        1-based frame number (PS3.3 C.18.4), None for a single-frame instance.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A closed outline on an image.

    Attributes
    ----------
    points
        (column, row) in pixels of the source image, in order; the writer closes the polyline.
        Sub-pixel; (0, 0) is the top left corner of the top left pixel (PS3.3 C.18.6.1.1).
    image
        Where it is drawn.
    """

    points: tuple[tuple[float, float], ...]
    image: ImageReference


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit, inferred from a region."""

    name: Code
    value: float
    unit: Code


@dataclass(frozen=True, slots=True)
class QualitativeFinding:
    """A coded answer to a coded question."""

    name: Code
    value: Code


@dataclass(frozen=True, slots=True)
class Unusual:
    """How far an input lies from those that its network was validated on.

    Attributes
    ----------
    percentile
        Share of the validation inputs that are less unusual, 0 to 100.
    outside
        Whether that is beyond the card's limit: outside the training distribution.
    """

    percentile: float
    outside: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One measurement group of a report (TID 1501).

    Attributes
    ----------
    tracking_id
        Human text that names the group, unique in the report.
    finding, site
        What was looked for, and where.
    measurement
        The group's one number.
    region
        The real region that the number is inferred from.
    qualitative
        Coded answers of the group, the view first.
    comment
        One line of at most 50 characters, shown by viewers beside the region.
    unusual
        How unusual the group's input is, where its network's card can tell.
    """

    tracking_id: str
    finding: Code
    site: Code
    measurement: Measurement
    region: Region
    qualitative: tuple[QualitativeFinding, ...] = ()
    comment: str = ""
    unusual: Unusual | None = None


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """A finding that applies to an instance but could not be made, and why.

    Attributes
    ----------
    title
        The finding's name for people.
    """

    title: str
    image: ImageReference
    reason: str


@dataclass(frozen=True, slots=True)
class Basis:
    """An instance of another study that a result rests on.

    Attributes
    ----------
    words
        What it is to the result, e.g. ``an ECG 2.1 days before``.
    """

    image: ImageReference
    words: str


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that had a part in a result.

    Attributes
    ----------
    name, version
        As in their card.
    sha256
        Hex digest of the weights file.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Algorithm:
    """The networks behind a result (TID 4019); it has the name of the one that decides.

    Attributes
    ----------
    name, version
        As in the weights' card.
    weights_sha256
        Hex digest of the weights file.
    statement
        The card's statement of use, e.g. "trained on simulated data, not for clinical use".
    others
        The finding's further networks.
    """

    name: str
    version: str
    weights_sha256: str
    statement: str
    others: tuple[Weights, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyResult:
    """All that one finding says about one study.

    Attributes
    ----------
    finding
        The finding's name in snake_case, e.g. ``ejection_fraction``.
    title
        The finding's name for people, e.g. ``Left ventricular ejection fraction``.
    groups
        The study's answer first, then one per contributing clip.
    not_analysed
        Instances to which the finding applies but where it could not be made.
    basis
        Instances of other studies that it rests on.
    """

    finding: str
    title: str
    algorithm: Algorithm
    groups: tuple[Group, ...]
    not_analysed: tuple[NotAnalysed, ...] = field(default=())
    basis: tuple[Basis, ...] = field(default=())
