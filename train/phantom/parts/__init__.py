"""The parts that a cohort can have, by name."""

from __future__ import annotations

from train.phantom.parts.base import Part
from train.phantom.parts.ecg import EcgPart
from train.phantom.parts.ef import EjectionFractionPart
from train.phantom.parts.septum import SeptumPart
from train.phantom.parts.stenosis import StenosisPart
from train.phantom.parts.valve import ValvePart
from train.phantom.parts.view import ViewPart
from train.phantom.parts.xray import XrayPart

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        EcgPart(),
        EjectionFractionPart(),
        ViewPart(),
        SeptumPart(),
        StenosisPart(),
        ValvePart(),
        XrayPart(),
    )
}
