"""The view that a finding needs before it looks at anything else."""

from __future__ import annotations

from collections.abc import Collection

from models.probability import percent_words
from node.errors import NotAnalysableError, NotApplicableError
from node.findings.base import Observation, Subject

_ECHO_VIEW = "echo_view"


def required_view(subject: Subject, views: Collection[str], otherwise: str) -> Observation:
    """Return what echo view saw, if it is one of some views, and for certain.

    Parameters
    ----------
    views
        That the finding is made for.
    otherwise
        What another view is said to be: ``not apical``.

    Raises
    ------
    NotApplicableError
        It is another view, or no echo.
    NotAnalysableError
        The view is uncertain, or could not be found out: the finding may well apply.
    """
    seen = subject.earlier.get(_ECHO_VIEW)
    if seen is None:
        missed = subject.missed.get(_ECHO_VIEW)
        if missed is not None and not missed.applies:
            raise NotApplicableError(missed.reason)
        why = f": {missed.reason}" if missed is not None else ""
        raise NotAnalysableError(f"the view is not known{why}")
    if seen["view"] not in views:
        raise NotApplicableError(f"view {seen['view']}: {otherwise}")
    if not seen["certain"]:
        raise NotAnalysableError(
            f"view uncertain: {seen['view']} {percent_words(seen['probability'])}"
        )
    return seen
