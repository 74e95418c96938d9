"""The clinical findings, in the order in which they read an instance."""

from __future__ import annotations

from collections.abc import Callable

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


def findings_for(wants: Callable[[str], bool]) -> tuple[Finding, ...]:
    """Choose what is wanted by name, and what only they need, in order."""
    wanted = {finding.name for finding in FINDINGS if wants(finding.name)}
    for finding in reversed(FINDINGS):  # What is needed stands before what needs it.
        if finding.name in wanted:
            wanted.update(finding.needs)
    return tuple(finding for finding in FINDINGS if finding.name in wanted)
