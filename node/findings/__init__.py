"""The clinical findings, in the order in which they read an instance."""

from __future__ import annotations

from node.findings.base import Finding
from node.findings.echo_view import EchoView
from node.findings.ejection_fraction import EjectionFraction

FINDINGS: tuple[Finding, ...] = (EchoView(), EjectionFraction())
