"""The clinical findings, in the order in which they read an instance."""

from __future__ import annotations

from node.findings.aortic_stenosis import AorticStenosis
from node.findings.base import Finding
from node.findings.echo_view import EchoView
from node.findings.ejection_fraction import EjectionFraction
from node.findings.septal_flash import SeptalFlash
from node.findings.stenosis_screening import StenosisScreening
from node.findings.valve_calcification import ValveCalcification

FINDINGS: tuple[Finding, ...] = (
    EchoView(),
    EjectionFraction(),
    AorticStenosis(),
    ValveCalcification(),
    SeptalFlash(),
    StenosisScreening(),
)
